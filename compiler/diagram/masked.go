package diagram

import "math/bits"

// maxHoles is how many zero bits above its last one bit a mask may have for its
// values to be written as spans.
const maxHoles = 12

// Masked is the values of so many bits that agree with another one under a mask:
// a span for each way to fill the mask's holes. It is false when there are too
// many.
func Masked(value, mask Value, width int) (Set, bool) {
	low := min(mask.trailingZeros(), width)
	var holes []int
	for i := low; i < width; i++ {
		if !mask.bit(i) {
			holes = append(holes, i)
		}
	}
	if len(holes) > maxHoles {
		return nil, false
	}
	base := Value{value.Hi & mask.Hi, value.Lo & mask.Lo}
	spans := make([]Span, 0, 1<<len(holes))
	for n := range 1 << len(holes) {
		lo := base
		for k, at := range holes {
			if n&(1<<k) != 0 {
				lo = lo.with(at)
			}
		}
		hi := lo
		for i := range low {
			hi = hi.with(i)
		}
		spans = append(spans, Span{lo, hi})
	}
	return Normal(spans), true
}

func (a Value) trailingZeros() int {
	if a.Lo == 0 {
		return 64 + bits.TrailingZeros64(a.Hi)
	}
	return bits.TrailingZeros64(a.Lo)
}

func (a Value) bit(i int) bool {
	if i < 64 {
		return a.Lo&(1<<i) != 0
	}
	return a.Hi&(1<<(i-64)) != 0
}

// with is the value with one more bit.
func (a Value) with(i int) Value {
	if i < 64 {
		a.Lo |= 1 << i
	} else {
		a.Hi |= 1 << (i - 64)
	}
	return a
}
