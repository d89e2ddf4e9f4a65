package nftables

import (
	"os"
	"strings"
	"testing"
)

// shortText is a line of testdata/texts.txt.
type shortText struct {
	loads  bool   // in nft 1.0.6
	reason string // why Parse does otherwise; "" if it does not
	line   string
	full   string // the file
}

// around are the files that the texts stand in.
var around = map[string]string{
	"R": "table inet x {\nchain d {\n}\nset a4 { typeof ip saddr; }\nset p { typeof th dport; }\nset n { typeof iifname; }\n" +
		"map v { typeof th dport : verdict; }\nchain c {\nTEXT\n}\n}\n",
	"I": "table ip x {\nchain d {\n}\nchain c {\nTEXT\n}\n}\n",
	"S": "table inet x {\nset s {\nTEXT\n}\n}\n",
	"M": "table inet x {\nchain d {\n}\nmap s {\nTEXT\n}\n}\n",
	"T": "table inet x {\nTEXT\n}\n",
	"C": "table inet x {\nchain c {\nTEXT\n}\n}\n",
	"X": "TEXT\n",
}

func readTexts(t testing.TB) []shortText {
	t.Helper()
	src, err := os.ReadFile("testdata/texts.txt")
	if err != nil {
		t.Fatal(err)
	}
	var list []shortText
	for line := range strings.Lines(string(src)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		fields := append(strings.SplitN(line, " ", 4), "")
		x := shortText{loads: fields[0] == "+", line: line}
		if fields[1] != "=" {
			x.reason = fields[1]
		}
		text := strings.ReplaceAll(fields[3], `\n`, "\n")
		if around[fields[2]] == "" {
			t.Fatalf("%s: no file for %q", line, fields[2])
		}
		x.full = strings.Replace(around[fields[2]], "TEXT", text, 1)
		list = append(list, x)
	}
	return list
}

// refuses says for each reason whether it is Parse that refuses the text; "host" are
// both.
var refuses = map[string]bool{"octal": true, "inline": true, "never": true, "odd": true, "later": false, "unread": false, "harmless": false}

// Parse accepts a text when nft does, but for the reasons that testdata/texts.txt has.
func TestShortTexts(t *testing.T) {
	list := readTexts(t)
	if len(list) < 1000 {
		t.Fatalf("only %d texts", len(list))
	}
	for _, x := range list {
		_, err := Parse([]byte(x.full), Options{})
		want := x.loads == (x.reason == "")
		if want != (err == nil) {
			t.Errorf("%s: Parse: %v", x.line, err)
		}
		if refused, known := refuses[x.reason]; known && refused != x.loads || x.reason != "" && x.reason != "host" && !known {
			t.Errorf("%s: this is not a reason", x.line)
		}
	}
}
