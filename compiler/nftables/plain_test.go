package nftables

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Elements that are read without cutting them into words are those that the parser reads,
// with their lines, and a text is refused for the same reason.
func TestPlainElementsAreReadTheSame(t *testing.T) {
	read, refused := 0, 0
	for range 20 {
		rapid.Check(t, func(t *rapid.T) {
			text := plainText(t)
			quick, quickErr := Parse([]byte(text), Options{})
			noPlain = true
			slow, slowErr := Parse([]byte(text), Options{})
			noPlain = false
			if fmt.Sprint(quickErr) != fmt.Sprint(slowErr) {
				t.Fatalf("%s\n%v, and word by word %v", text, quickErr, slowErr)
			}
			if slowErr != nil {
				refused++
				return
			}
			for i, s := range slow.Tables[0].Sets {
				read += len(s.Elements)
				if diff := cmp.Diff(s.Elements, quick.Tables[0].Sets[i].Elements); diff != "" {
					t.Fatalf("%s\n%s", text, diff)
				}
			}
		})
	}
	if read < 2000 || refused < 100 {
		t.Errorf("%d elements were read, and %d texts refused", read, refused)
	}
}

// after is what follows an element.
func after(t *rapid.T, odd int) string {
	if rapid.IntRange(0, 9).Draw(t, "which after") >= odd {
		return rapid.SampledFrom([]string{",", ",", ", ", " ,"}).Draw(t, "after")
	}
	return rapid.SampledFrom([]string{",", "\n,", ",,", ""}).Draw(t, "odd after")
}

// plainText is a set with elements that are nearly all plain, between all kinds of blanks.
func plainText(t *rapid.T) string {
	var b strings.Builder
	head := rapid.SampledFrom([]string{"set s {\n\t\ttype ipv4_addr\n\t\tflags interval\n", "set s {\n\t\ttypeof ip saddr\n\t\tflags interval\n\t\tauto-merge\n"}).Draw(t, "head")
	odd := rapid.SampledFrom([]int{0, 0, 1, 4}).Draw(t, "odd")
	if odd > 0 {
		head = rapid.SampledFrom([]string{head, head, head, "set s {\n\t\ttype ipv4_addr\n", "set s {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\tsize 2\n", "set s {\n\t\ttype inet_service\n",
			"set s {\n\t\ttype ipv6_addr\n", "set s {\n\t\ttype mark\n", "map s {\n\t\ttype ipv4_addr : verdict\n\t\tflags interval\n"}).Draw(t, "odd head")
	}
	fmt.Fprintf(&b, "table ip t {\n\t%s\t\telements = {", head)
	for i := range rapid.IntRange(0, 8).Draw(t, "elements") {
		b.WriteString(rapid.SampledFrom([]string{"\n\t\t\t", " ", "", "\n", "\t"}).Draw(t, "before"))
		if rapid.IntRange(0, 9).Draw(t, "which") < odd {
			b.WriteString(rapid.SampledFrom([]string{"10.0.0.1-10.0.0.2", "10.0.0.1/24", "10.00.0.1", "1.2.3.4567", "1.2.3", "256.0.0.1", "10.0.0.0/33", "10.0.0.0/08", "0.0.0.0/0", "a", "::1", "80",
				"10.1.0.1 comment \"x\"", "10.0.0.1 timeout 1s", "10.0.0.1 : accept", "*", "{ 10.0.7.1 }", "10.0.0.1 . 10.0.0.2", "10.0.0.1.", "10.0.0.1 /32", "$v", "\"10.0.0.1\"", "# x\n10.3.0.1", "\\\n10.4.0.1", "\n\n", ""}).Draw(t, "odd one"))
		} else {
			fmt.Fprintf(&b, "10.%d.%d.%d%s", i, rapid.SampledFrom([]int{0, 9, 10, 255}).Draw(t, "third"), rapid.SampledFrom([]int{0, 128, 254}).Draw(t, "last"), rapid.SampledFrom([]string{"", "", "/32", "/31", "/25"}).Draw(t, "length"))
		}
		b.WriteString(after(t, odd))
	}
	b.WriteString(rapid.SampledFrom([]string{"10.200.0.1 }", "\n\t\t}", " }", "10.200.0.0/24}"}).Draw(t, "end") + "\n\t}\n}\n")
	return b.String()
}
