package editor

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/seawall/seawall/compiler/address"
	"github.com/seawall/seawall/compiler/packet"
	"github.com/seawall/seawall/compiler/page"
	"github.com/seawall/seawall/compiler/prove"
	"github.com/seawall/seawall/schema"
)

// reaches is who reaches each policy, worked out once when somebody asks.
type reaches struct {
	lock sync.Mutex
	done bool
	list [][]prove.Reach // as the document has its policies
	err  error
}

// reach returns who reaches each policy. A question that was cancelled is asked again.
func (p *Policy) reach(ctx context.Context) ([][]prove.Reach, error) {
	doc := p.Loaded.Document
	if doc == nil {
		return nil, nil
	}
	p.reaches.lock.Lock()
	defer p.reaches.lock.Unlock()
	if !p.reaches.done {
		list, err := prove.Reaches(ctx, doc, doc.Policies, prove.Limits{})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p.reaches.list, p.reaches.err, p.reaches.done = list, err, true
	}
	return p.reaches.list, p.reaches.err
}

// Lens is a line over a policy that says who reaches it.
type Lens struct {
	At   hcl.Range // the policy's name
	Text string
}

// mostLenses is how many policies of one for_each have a line each.
const mostLenses = 3

// Lenses says over each policy of a file who reaches it. There are none for a policy with
// mistakes, or one too hard to work out.
func (p *Policy) Lenses(ctx context.Context, file string) ([]Lens, error) {
	list, err := p.reach(ctx)
	if list == nil || err != nil {
		return nil, err
	}
	of := map[hcl.Range][]Lens{}
	for i, x := range p.Loaded.Document.Policies {
		if x.Range.Filename != file {
			continue
		}
		text := reachText(list[i])
		if x.Name != p.labelled(x) {
			text = x.Name + ": " + text
		}
		of[x.Range] = append(of[x.Range], Lens{x.Range, text})
	}
	var lenses []Lens
	for at, these := range of {
		if len(these) > mostLenses {
			these = append(these[:mostLenses:mostLenses], Lens{at, fmt.Sprintf("and %d more of for_each", len(these)-mostLenses)})
		}
		lenses = append(lenses, these...)
	}
	slices.SortStableFunc(lenses, func(a, b Lens) int { return a.At.Start.Byte - b.At.Start.Byte })
	return lenses, nil
}

// labelled is the name that the block of a policy has.
func (p *Policy) labelled(x *schema.Policy) string {
	if t := p.trees[x.Range.Filename]; t != nil {
		for _, b := range t.root.blocks {
			if b.header.Start.Byte == x.Range.Start.Byte {
				return b.label
			}
		}
	}
	return x.Name
}

// reachText says who reaches a policy: "reachable by 412 addresses of 2 networks; everybody:
// no".
func reachText(reach []prove.Reach) string {
	four, six := extentIn(reach, packet.IPv4), extentIn(reach, packet.IPv6)
	switch {
	case four.nobody() && six.nobody():
		return "reachable by nobody"
	case four.everybody && six.everybody:
		return "reachable by everybody"
	case four.everybody && six.nobody(), six.everybody && four.nobody():
		return "reachable by everybody over " + only(four, six) + " alone"
	case six.nobody():
		return "reachable by " + four.text() + " over IPv4; everybody: no"
	case four.nobody():
		return "reachable by " + six.text() + " over IPv6; everybody: no"
	}
	text := "reachable by " + four.text() + " over IPv4 and " + six.text() + " over IPv6"
	if !four.everybody && !six.everybody && four.except == 0 && six.except == 0 {
		text += "; everybody: no"
	}
	return text
}

func only(four, _ extent) string {
	if four.everybody {
		return packet.IPv4.String()
	}
	return packet.IPv6.String()
}

// extent is how many a set of addresses is.
type extent struct {
	everybody bool
	networks  int
	except    int // of everybody, so many networks
	addresses *big.Int
}

func (e extent) nobody() bool { return !e.everybody && e.networks == 0 }

func extentIn(reach []prove.Reach, f packet.Family) extent {
	for _, r := range reach {
		if r.Family == f {
			open, _ := r.Open()
			return extentOf(open)
		}
	}
	return extent{addresses: new(big.Int)}
}

func extentOf(s address.Set) extent {
	e := extent{networks: len(s), addresses: sizeOf(s)}
	p := address.PhraseOf(s)
	e.everybody = page.Everybody(p)
	if p.Everybody() && !e.everybody {
		e.except = p.Len() - 1
	}
	return e
}

// sizeOf is how many addresses a set has.
func sizeOf(s address.Set) *big.Int {
	total, one := new(big.Int), big.NewInt(1)
	for _, r := range s {
		first, last := r.From().As16(), r.To().As16()
		n := new(big.Int).Sub(new(big.Int).SetBytes(last[:]), new(big.Int).SetBytes(first[:]))
		total.Add(total, n.Add(n, one))
	}
	return total
}

func (e extent) text() string {
	switch {
	case e.everybody:
		return "everybody"
	case e.nobody():
		return "nobody"
	case e.except > 0:
		return "everybody except " + page.Plural(e.except, "network", "networks")
	}
	networks := page.Plural(e.networks, "network", "networks")
	const countable = 1 << 40 // as many addresses as anybody can read
	if !e.addresses.IsInt64() || e.addresses.Int64() > countable {
		return networks
	}
	n := int(e.addresses.Int64())
	if n == e.networks {
		return page.Plural(n, "address", "addresses")
	}
	return page.Plural(n, "address", "addresses") + " of " + networks
}
