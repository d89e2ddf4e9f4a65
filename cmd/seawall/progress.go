package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/seawall/seawall/compiler/progress"
	"golang.org/x/term"
)

// patienceOfReaders is after how long a terminal shows what the work is at.
const patienceOfReaders = time.Second

// progressLine shows on a terminal what long work is at, in one line that is drawn again
// and taken away before anything else is written.
type progressLine struct {
	mu    sync.Mutex
	w     io.Writer
	width int
	step  progress.Step
	since time.Time
	drawn bool
	done  chan struct{}
}

// showProgress shows on standard error what the work of a context is at, where that is a
// terminal and nobody's log. The function ends it.
func showProgress(ctx context.Context, answer, said *standardOutput) (context.Context, func()) {
	f, ok := said.w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("CI") != "" || os.Getenv("TERM") == "dumb" {
		return ctx, func() {}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width == 0 {
		width = textWidth
	}
	p := &progressLine{w: f, width: width, since: time.Now(), done: make(chan struct{})}
	answer.before, said.before = p.clear, p.clear
	go p.draw()
	return progress.With(ctx, p.take), func() {
		close(p.done)
		p.clear()
	}
}

func (p *progressLine) take(s progress.Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step = s
}

func (p *progressLine) draw() {
	const often = 200 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-tick.C:
			p.redraw()
		}
	}
}

func (p *progressLine) redraw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	passed := time.Since(p.since)
	if passed < patienceOfReaders || p.step.Doing == "" {
		return
	}
	text := fmt.Sprintf("%s %s (%d s)", p.step.Doing, oneLine(p.step.What), int(passed.Seconds()))
	text = string(escaped([]byte(text), false))
	if r := []rune(text); len(r) >= p.width {
		text = string(r[:p.width-1])
	}
	fmt.Fprintf(p.w, "\r%s\x1b[K", text)
	p.drawn = true
}

// clear takes the line away. It is drawn again when the work goes on for long.
func (p *progressLine) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
	p.step = progress.Step{} // what is written comes after the work that was reported
}
