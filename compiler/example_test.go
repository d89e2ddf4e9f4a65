package compiler_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/seawall/seawall/compiler"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// A policy is compiled; every file is proved before it is returned.
func ExampleCompile() {
	loaded, diags := schema.Load("../examples/one-port", schema.Options{})
	if diags.HasErrors() {
		log.Fatal(diags)
	}
	out, err := compiler.Compile(context.Background(), loaded.Document, compiler.Options{Format: emit.Restore, Source: "policy.hcl"})
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range strings.Split(string(out.Files[0].Bytes), "\n") {
		if strings.HasPrefix(line, "-A DOCKER-USER ") {
			fmt.Println(line)
		}
	}
	// Output:
	// -A DOCKER-USER ! -s 192.168.0.1/32 -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL -j DROP
}

// What somebody else wrote implements the policy, or it does not: here it lets
// one more address in.
func ExampleVerify() {
	loaded, diags := schema.Load("../examples/one-port", schema.Options{})
	if diags.HasErrors() {
		log.Fatal(diags)
	}
	text := `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
-A INPUT -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL ! -s 192.168.0.1 -j DROP
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -i eth0 -s 10.9.9.9 -j RETURN
-A DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 --ctdir ORIGINAL ! -s 192.168.0.1 -j DROP
COMMIT
`
	list, err := compiler.ReadRules("iptables", []byte(text), compiler.ReadOptions{Family: packet.IPv4})
	if err != nil {
		log.Fatal(err)
	}
	v, err := compiler.Verify(context.Background(), loaded.Document, list[0], prove.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range v.Differences {
		if d.Hook == packet.Forward {
			fmt.Println(d.Policy, "by the policy,", d.File, "by the file, from", d.Example.Source)
		}
	}
	// Output:
	// deny by the policy, pass by the file, from 10.9.9.9
}
