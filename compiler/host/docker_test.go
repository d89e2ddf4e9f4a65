package host

import "testing"

// A daemon drops in the raw table unless this is turned off, in any of three ways.
func TestDrops(t *testing.T) {
	for _, test := range []struct {
		words, environment []string
		config             string
		raw, direct        bool
	}{
		{[]string{"dockerd"}, nil, "", true, true},
		{[]string{"dockerd", "-H", "fd://"}, []string{"PATH=/bin"}, `{"icc": false}`, true, true},
		{[]string{"dockerd", "--allow-direct-routing"}, nil, "", true, false},
		{[]string{"dockerd", "--allow-direct-routing=false"}, nil, "", true, true},
		{[]string{"dockerd"}, nil, `{"allow-direct-routing": true}`, true, false},
		{[]string{"dockerd"}, []string{"DOCKER_INSECURE_NO_IPTABLES_RAW=1"}, "", false, false},
		{[]string{"dockerd"}, []string{"DOCKER_INSECURE_NO_IPTABLES_RAW=0"}, "", true, true},
		{[]string{"dockerd", "--config-file=/etc/other.json"}, nil, "", false, false},
		{[]string{"dockerd"}, nil, `{"allow`, false, false},
	} {
		if raw, direct := drops(test.words, test.environment, []byte(test.config)); raw != test.raw || direct != test.direct {
			t.Errorf("%v: raw %v, direct %v", test, raw, direct)
		}
	}
}
