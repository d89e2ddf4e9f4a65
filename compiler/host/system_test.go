package host

import "testing"

// ufw's configuration is a shell file.
func TestUFWConfiguration(t *testing.T) {
	for text, want := range map[string]bool{
		"# /etc/ufw/ufw.conf\nENABLED=yes\nLOGLEVEL=low\n": true, "ENABLED=YES\n": true, "ENABLED=\"yes\"": true,
		"ENABLED=no\n": false, "# ENABLED=yes\n": false, "ENABLED=yesterday\n": false, "": false,
	} {
		if got := enabled([]byte(text)); got != want {
			t.Errorf("%q: enabled is %t, want %t", text, got, want)
		}
	}
}
