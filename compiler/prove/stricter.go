package prove

import "github.com/seawall/seawall/compiler/packet"

// openness orders verdicts by how far a packet gets: not at all, to Docker's own
// rules, or past them. What cannot be evaluated may be anything.
func openness(v packet.Verdict) int {
	switch {
	case v&(packet.Accept|packet.Unknown) != 0:
		return 2
	case v&packet.Pass != 0:
		return 1
	}
	return 0
}

// stricter reports whether a file lets packets get no further than a policy does, in
// each of the ways that it may decide. Of two denials neither is the more open one,
// whatever their answers are.
func stricter(policy, file packet.Verdict) bool {
	return policy.Known() && openness(file) <= openness(policy)
}

// Stricter reports whether the file lets these packets get no further than the policy
// does: it opens nothing. A rule that cannot be evaluated is stricter if it is whether
// it matches or not.
func (d *Difference) Stricter() bool { return d.stricter }

// Stricter reports whether every difference is stricter than the policy, or there is
// none.
func (r *Result) Stricter() bool {
	_, others := r.Split()
	return len(others) == 0
}

// Split returns the differences that are stricter than the policy, and the others.
func (r *Result) Split() (stricter, others []*Difference) {
	for _, d := range r.Differences {
		if d.Stricter() {
			stricter = append(stricter, d)
		} else {
			others = append(others, d)
		}
	}
	return stricter, others
}
