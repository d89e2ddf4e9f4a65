package nftables

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// captured returns the captures of nft's text.
func captured(t testing.TB) map[string][]byte {
	t.Helper()
	names, _ := filepath.Glob("../../testdata/captures/*.nft")
	if len(names) < 4 {
		t.Fatalf("%d captures", len(names))
	}
	files := map[string][]byte{}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = src
	}
	return files
}

func mustParse(t testing.TB, src []byte) *File {
	t.Helper()
	f, err := Parse(src, Options{})
	if err != nil {
		e := err.(*Error)
		t.Fatalf("%v: %s\n%s", err, e.Text, src)
	}
	return f
}

// withoutPlaces takes lines and words from a file, so that files can be compared.
func withoutPlaces(f *File) *File {
	f.Source, f.Flushes, f.Tables = nil, false, orNil(f.Tables)
	elements := func(list []Element) {
		for i := range list {
			list[i].Line = 0
		}
	}
	for _, t := range f.Tables {
		t.Line, t.Chains, t.Sets, t.Objects = 0, orNil(t.Chains), orNil(t.Sets), orNil(t.Objects)
		for _, s := range t.Sets {
			s.Line, s.Elements = 0, orNil(s.Elements)
			elements(s.Elements)
		}
		for _, o := range t.Objects {
			o.Line = 0
		}
		for _, c := range t.Chains {
			c.Line, c.Rules = 0, orNil(c.Rules)
			for _, r := range c.Rules {
				r.Line, r.Text = 0, ""
				for _, s := range r.Statements {
					switch s := s.(type) {
					case *Match:
						elements(s.Right.Set)
					case *Lookup:
						elements(s.Map.Set)
					}
				}
			}
		}
	}
	return f
}

// orNil returns a list, and nil for an empty one.
func orNil[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func printed(f *File) []byte {
	var b bytes.Buffer
	for _, t := range f.Tables {
		Print(&b, t)
	}
	return b.Bytes()
}

// What Print writes of a file is read as the same file.
func TestPrintedFilesAreReadTheSame(t *testing.T) {
	for name, src := range captured(t) {
		f := withoutPlaces(mustParse(t, src))
		text := printed(f)
		if again := withoutPlaces(mustParse(t, text)); !reflect.DeepEqual(f, again) {
			t.Errorf("%s: printed:\n%s\nprinted again:\n%s", name, text, printed(again))
		}
	}
}

// Each text is read or refused as nft 1.0.6 does with it in an empty namespace, as
// was seen by hand.
func TestReadsAsNftDoes(t *testing.T) {
	const open = "table inet x {\nchain d {\n}\nset a4 { typeof ip saddr; }\nmap v { typeof th dport : verdict; }\nchain c {\n"
	for rule, loads := range map[string]bool{
		"limit rate 5 kbytes/second burst 3 kbytes accept": true,
		"limit rate 5/minute burst 5 packets accept":       true,
		"limit rate 5/foo accept":                          false,
		"tcp dport 22 accept drop":                         false,
		"tcp dport 22 udp dport 23 accept":                 false,
		"ip saddr 1.2.3.4 ip6 saddr ::1 accept":            false,
		"tcp dport eth0 accept":                            false,
		"tcp dport 70000 accept":                           false,
		"tcp dport ssh accept":                             true,
		"tcp dport { 1-100, 50 } accept":                   true,
		"tcp dport vmap { 22 : accept, 20-30 : drop }":     false,
		"tcp dport vmap @v":                                true,
		"tcp dport vmap @a4":                               false,
		"ip6 saddr @a4 accept":                             false,
		"ip saddr @nope accept":                            false,
		"ip saddr { } accept":                              false,
		"ip saddr 10.0.0.0/33 accept":                      false,
		"ip saddr 2001:db8::1 accept":                      false,
		"iifname averyverylonginterfacename accept":        false,
		"iifname { \"eth0\", \"wan*\" } accept":            true,
		"ct state foo accept":                              false,
		"ct state established,related accept":              true,
		"tcp flags syn / syn,ack accept":                   true,
		"tcp flags & (syn | ack) == syn accept":            true,
		"jump d":                                           true,
		"jump nope":                                        false,
		"jump c":                                           true,
		"foo accept":                                       false,
		"tcp dport accept":                                 false,
	} {
		_, err := Parse([]byte(open+rule+"\n}\n}\n"), Options{})
		if loads != (err == nil) {
			t.Errorf("%s: loads: %v, Parse: %v", rule, loads, err)
		}
	}
}
