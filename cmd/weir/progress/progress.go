// Package progress shows how a long command is getting on: one line that is rewritten every second on a
// terminal, a new line every five seconds in a log.
package progress

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// How often a line is shown.
const (
	onTerminal = time.Second
	inLog      = 5 * time.Second
)

// Reporter shows lines on Out.
type Reporter struct {
	Out io.Writer
	// Line makes the line of now; it is called from the goroutine of Run.
	Line func() string
	// Width is the terminal's width, or 0 when Out is none.
	Width int
}

// New makes a Reporter that knows whether out is a terminal.
func New(out io.Writer, line func() string) *Reporter {
	r := &Reporter{Out: out, Line: line}
	if file, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil {
			r.Width = max(width, 20)
		}
	}
	return r
}

// Run shows a line at each interval until ctx ends.
func (r *Reporter) Run(ctx context.Context) {
	every := inLog
	if r.Width > 0 {
		every = onTerminal
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.show()
		case <-ctx.Done():
			if r.Width > 0 {
				fmt.Fprint(r.Out, "\r\x1b[K")
			}
			return
		}
	}
}

func (r *Reporter) show() {
	line := r.Line()
	if r.Width == 0 {
		fmt.Fprintln(r.Out, line)
		return
	}
	// Return to the first column, and erase what a longer line left behind.
	fmt.Fprintf(r.Out, "\r%s\x1b[K", cut(line, r.Width-1))
}

// cut shortens text to n characters.
func cut(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}
