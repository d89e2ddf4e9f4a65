package nftoracle

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// An Nft is a program of nft: the name or path of one of whatever version, such
// as those that .ci/engines fetches. The zero value is the one of this machine.
type Nft string

func (n Nft) name() string {
	if n == "" {
		return "nft"
	}
	return string(n)
}

// Available reports why the program cannot be used here, or nil.
func (n Nft) Available() error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	if _, err := exec.LookPath("unshare"); err != nil {
		return err
	}
	_, err := n.List("")
	return err
}

// A Refusal is what nft says of a text that it does not load.
type Refusal struct{ Message string }

func (r *Refusal) Error() string { return "nft: " + r.Message }

// List loads a text in a network namespace of its own and returns the JSON of
// what nft then lists. It returns a *Refusal when nft does not load it.
func (n Nft) List(text string) ([]byte, error) {
	out, err := n.run(text, `ip link set lo up 2>/dev/null; "$0" -f - || exit 3; "$0" -j list ruleset`)
	return []byte(out), err
}

// Text is List with the listing as text.
func (n Nft) Text(text string) (string, error) {
	return n.run(text, `"$0" -f - || exit 3; "$0" list ruleset`)
}

// ListBy is List with another program that lists what this one has loaded: the
// versions do not read each other's tables alike.
func (n Nft) ListBy(reader Nft, text string) ([]byte, error) {
	out, err := n.run(text, `"$0" -f - || exit 3; "$1" -j list ruleset`, reader.name())
	return []byte(out), err
}

// Fetched returns the programs of nft that .ci/engines has put into the folder
// that $SEAWALL_ENGINES names, by suite.
func Fetched() map[string]Nft {
	found := map[string]Nft{}
	for _, suite := range []string{"trixie", "sid"} {
		path := filepath.Join(os.Getenv("SEAWALL_ENGINES"), suite, "iptables", "nft")
		if _, err := os.Stat(path); err == nil && filepath.IsAbs(path) {
			found[suite] = Nft(path)
		}
	}
	return found
}

// Load is List and Parse.
func (n Nft) Load(text string) (*Ruleset, error) {
	out, err := n.List(text)
	if err != nil {
		return nil, err
	}
	return Parse(out)
}

// run runs a script in a namespace of its own.
func (n Nft) run(stdin, script string, args ...string) (string, error) {
	var out, message bytes.Buffer
	cmd := exec.Command("unshare", append([]string{"-n", "sh", "-c", script, n.name()}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = &out, &message
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 3 {
		return "", &Refusal{strings.TrimSpace(message.String())}
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", n.name(), err, strings.TrimSpace(message.String()))
	}
	return out.String(), nil
}
