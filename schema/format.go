package schema

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	hcljson "github.com/hashicorp/hcl/v2/json"
)

// Format returns a policy file in canonical layout, or the errors of a file that
// does not parse.
func Format(name string, src []byte) ([]byte, hcl.Diagnostics) {
	isJSON := strings.HasSuffix(name, ".json") || name == "stdin" && bytes.HasPrefix(bytes.TrimSpace(src), []byte("{"))
	if d := checkText(name, src, isJSON); d != nil {
		return nil, hcl.Diagnostics{d}
	}
	if isJSON {
		if _, diags := hcljson.Parse(src, name); diags.HasErrors() {
			return nil, diags
		}
		var out bytes.Buffer
		if err := json.Indent(&out, bytes.TrimSpace(src), "", "  "); err != nil {
			return nil, hcl.Diagnostics{failure("Not JSON", err.Error())}
		}
		out.WriteByte('\n')
		return out.Bytes(), nil
	}
	if _, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos); diags.HasErrors() {
		return nil, diags
	}
	return hclwrite.Format(src), nil
}

// FilesOf returns the file map of one file, for messages with source lines.
func FilesOf(name string, src []byte) map[string]*hcl.File {
	return map[string]*hcl.File{name: {Bytes: src}}
}
