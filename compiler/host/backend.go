package host

import (
	"github.com/seawall/seawall/compiler/dialect"
	"github.com/seawall/seawall/compiler/emit"
	"github.com/seawall/seawall/compiler/packet"
)

// Backend is one of the programs that put rules into the kernel, iptables or nft, with
// all that apply and watch ask of it.
type Backend interface {
	// Check returns an error if the current rules cannot be read.
	Check() error
	// Rules returns the current rules of both families.
	Rules() (map[packet.Family]dialect.Rules, error)
	// Foreign are the current rules that a file would remove and that are not known to be
	// Seawall's.
	Foreign(t *Turn, fresh emit.File) ([]Rule, error)
	// Same reports whether the current rules are those of a file, rule by rule.
	Same(fresh emit.File) (bool, error)
	// Placed reports whether the current rules, whatever they say, are where a file puts them.
	Placed() (bool, error)
	// Current describes the current rules for Turn.Remember.
	Current() (Record, error)

	// load returns the scripts of a rollback, and what they read: new.sh and back.sh.
	load(fresh emit.File) (map[string][]byte, error)
	// keep saves the current rules to a folder, for back.sh.
	keep(dir string) error
}

// Record is what is remembered of the rules that were loaded: texts by the name of
// their file in the folder of the lock.
type Record map[string][]byte

// Rule is a rule as its program lists it.
type Rule struct {
	Family packet.Family // 0: of both
	Text   string
}
