package nftables

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkParseSet reads a table with a set of 100,000 elements, one in a line.
func BenchmarkParseSet(b *testing.B) {
	for _, of := range []struct{ name, kind, format string }{
		{"prefixes", "ip saddr\n\t\tflags interval", "10.%d.%d.%d/32"},
		{"networks", "ip saddr\n\t\tflags interval", "%[2]d.%[3]d.%[1]d.0/24"},
		{"addresses", "ip saddr", "10.%d.%d.%d"},
		{"addresses6", "ip6 saddr", "2001:db8:%x::%x:%x"},
	} {
		var s strings.Builder
		s.WriteString("table inet x {\n\tset s {\n\t\ttypeof " + of.kind + "\n\t\telements = {")
		for i := range 100_000 {
			if i > 0 {
				s.WriteByte(',')
			}
			s.WriteString("\n\t\t\t" + fmt.Sprintf(of.format, i>>16, i>>8&255, i&255))
		}
		s.WriteString("\n\t\t}\n\t}\n}\n")
		src := []byte(s.String())
		b.Run(of.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f, err := Parse(src, Options{})
				if err != nil || len(f.Tables[0].Sets[0].Elements) != 100_000 {
					b.Fatal(err)
				}
			}
		})
	}
}
