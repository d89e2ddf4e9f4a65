package doctor_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/seawall/seawall/compiler/docker"
	"github.com/seawall/seawall/compiler/doctor"
	"github.com/seawall/seawall/compiler/iptables"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
)

// A host publishes port 8080 for a container's port 80, and a user's rule is meant to close it.
func ExampleRun() {
	saved, err := os.ReadFile("../../testdata/captures/engine-29-published-8080.iptables-save")
	if err != nil {
		log.Fatal(err)
	}
	jump := "-A FORWARD -j DOCKER-USER\n"
	rules := strings.Replace(string(saved), jump, jump+"-A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP\n", 1)
	f, err := iptables.Parse([]byte(rules), iptables.Options{Family: packet.IPv4})
	if err != nil {
		log.Fatal(err)
	}
	h := &doctor.Host{Families: []docker.Tables{docker.TablesOf(f)}, Interfaces: []string{"eth0"}}
	for _, finding := range doctor.Run(context.Background(), h, prove.Limits{}) {
		fmt.Println(finding.Code + ": " + finding.Summary)
		fmt.Println(strings.Join(finding.Fix, "\n"))
	}
	// Output:
	// SD007: a rule in DOCKER-USER matches the published port 8080, but DNAT has already rewritten it: -A DOCKER-USER -i eth0 -p tcp -m tcp --dport 8080 -j DROP
	// iptables -I DOCKER-USER 1 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
}
