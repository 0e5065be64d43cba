package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"weir/wire"
)

type dlqCmd struct {
	List    dlqListCmd    `cmd:"" help:"List dead letters, the newest first."`
	Show    dlqShowCmd    `cmd:"" help:"Show a dead letter with its frame."`
	Fix     dlqFixCmd     `cmd:"" help:"Mend a dead letter's frame and send it again."`
	Replay  dlqReplayCmd  `cmd:"" help:"Send dead letters again as they are, as after a device's limit was raised or its clock set."`
	Discard dlqDiscardCmd `cmd:"" help:"Mark dead letters as of no use."`
}

const lettersPath = "/v1/dead-letters"

// letterFilter selects dead letters.
type letterFilter struct {
	Device string `placeholder:"PATTERN" help:"Of devices that match, such as plant1/#."`
	Code   string `placeholder:"CODE" help:"With this code, such as ts_future."`
	Stage  string `placeholder:"STAGE" help:"Refused by ingest, by the pipeline or by a bridge."`
	State  string `enum:"open,replayed,discarded,any" default:"open" help:"open, replayed, discarded or any."`
	Since  string `placeholder:"TIME" help:"Refused since a time (RFC 3339), or within a duration such as 1h."`
	Until  string `placeholder:"TIME" help:"Refused before a time, or longer ago than a duration."`
}

func (f *letterFilter) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{
		"device": f.Device, "code": f.Code, "stage": f.Stage, "since": f.Since, "until": f.Until, "state": f.State,
	} {
		if value != "" && (name != "state" || value != "any") {
			q.Set(name, value)
		}
	}
	return q
}

type letterAnswer struct {
	ID         string    `json:"id"`
	Time       time.Time `json:"time"`
	Device     string    `json:"device"`
	Code       string    `json:"code"`
	Path       string    `json:"path,omitempty"`
	Message    string    `json:"message"`
	Stage      string    `json:"stage"`
	Subject    string    `json:"subject,omitempty"`
	Format     string    `json:"format,omitempty"`
	Rejected   []uint32  `json:"rejected,omitempty"`
	Size       int       `json:"size"`
	Truncated  bool      `json:"truncated,omitempty"`
	Excerpt    string    `json:"excerpt,omitempty"`
	Raw        []byte    `json:"raw,omitempty"`
	Source     string    `json:"source,omitempty"`
	Resolution *struct {
		Outcome string    `json:"outcome"`
		Time    time.Time `json:"time"`
		By      string    `json:"by"`
	} `json:"resolution,omitempty"`
}

type outcomeAnswer struct {
	ID       string           `json:"id"`
	Stored   int              `json:"stored"`
	Skipped  int              `json:"skipped,omitempty"`
	Rejected []wire.Rejection `json:"rejected,omitempty"`
	DryRun   bool             `json:"dry_run,omitempty"`
}

// each calls take for up to limit letters, page by page.
func (f *serverFlags) each(ctx context.Context, filter *letterFilter, limit int, take func(*letterAnswer) error) error {
	query := filter.query()
	for limit > 0 {
		query.Set("limit", strconv.Itoa(min(limit, 200)))
		var page struct {
			Letters []letterAnswer
			Cursor  string
		}
		if err := f.call(ctx, "GET", lettersPath+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		for i := range page.Letters {
			if err := take(&page.Letters[i]); err != nil {
				return err
			}
		}
		if limit -= len(page.Letters); page.Cursor == "" {
			return nil
		}
		query.Set("cursor", page.Cursor)
	}
	return nil
}

type dlqListCmd struct {
	serverFlags
	letterFilter
	Limit int  `default:"50" help:"At most so many."`
	JSON  bool `help:"Print one JSON object per line."`
}

func (c *dlqListCmd) Run(ctx context.Context, to streams) error {
	w := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
	n := 0
	err := c.each(ctx, &c.letterFilter, c.Limit, func(l *letterAnswer) error {
		n++
		if c.JSON {
			return json.NewEncoder(to.out).Encode(l)
		}
		if n == 1 {
			fmt.Fprintln(w, "ID\tTIME\tDEVICE\tCODE\tPATH\tFRAME")
		}
		_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", l.ID, l.Time.Local().Format("2006-01-02 15:04:05"), orDash(l.Device), l.Code, orDash(l.Path), l.short())
		return err
	})
	if flushed := w.Flush(); err == nil {
		err = flushed
	}
	if err == nil && n == 0 {
		fmt.Fprintln(to.err, "no dead letters")
	}
	return err
}

const shortFrame = 60

// short is the beginning of the frame in one line.
func (l *letterAnswer) short() string {
	text := strings.Join(strings.Fields(l.Excerpt), " ")
	if text == "" {
		return fmt.Sprintf("(%d bytes)", l.Size)
	}
	if runes := []rune(text); len(runes) > shortFrame {
		return string(runes[:shortFrame]) + "…"
	}
	return text
}

type dlqShowCmd struct {
	serverFlags
	ID   string `arg:"" help:"Its id, as listed."`
	Raw  bool   `help:"Print the frame alone, as it came."`
	JSON bool   `help:"Print the server's answer, with the frame in base64."`
}

func (c *dlqShowCmd) Run(ctx context.Context, to streams) error {
	l, err := c.letter(ctx, c.ID)
	switch {
	case err != nil:
		return err
	case c.Raw:
		_, err = to.out.Write(l.Raw)
		return err
	case c.JSON:
		return printJSON(to.out, l)
	}
	rows := [][2]string{
		{"id", l.ID}, {"time", l.Time.Format(time.RFC3339Nano)}, {"device", l.Device}, {"refused by", l.Stage}, {"code", l.Code},
		{"path", l.Path}, {"message", l.Message}, {"sent by", l.Subject}, {"format", l.Format}, {"record", l.Source},
	}
	if r := l.Resolution; r != nil {
		rows = append(rows, [2]string{r.Outcome, "by " + r.By + " at " + r.Time.Format(time.RFC3339)})
	}
	if err := printRows(to.out, rows); err != nil {
		return err
	}
	if l.Truncated {
		fmt.Fprintf(to.out, "\nthe first %d of %d bytes:\n", len(l.Raw), l.Size)
	} else {
		fmt.Fprintf(to.out, "\n%d bytes:\n", l.Size)
	}
	if l.Excerpt == "" {
		fmt.Fprintf(to.out, "%q\n", l.Raw)
		return nil
	}
	_, err = fmt.Fprintf(to.out, "%s\n", l.Raw)
	return err
}

func (f *serverFlags) letter(ctx context.Context, id string) (*letterAnswer, error) {
	l := new(letterAnswer)
	err := f.call(ctx, "GET", lettersPath+"/"+url.PathEscape(id), nil, l)
	return l, err
}

type dlqFixCmd struct {
	serverFlags
	ID     string `arg:"" help:"Its id, as listed."`
	File   string `arg:"" optional:"" help:"The mended frame, or - to read it; without it $EDITOR is opened."`
	All    bool   `help:"Store every reading of the frame, not only those that were refused."`
	DryRun bool   `help:"Check the frame and store nothing."`
}

// Help is shown below the summary of the command.
func (dlqFixCmd) Help() string {
	return `Examples:
  weir dlq fix 3-1042                      open the frame in $EDITOR, then send it
  weir dlq show 3-1042 --raw | sed s/NaN/0/ | weir dlq fix 3-1042 -

A letter is sent once; sending it again is refused.`
}

func (c *dlqFixCmd) Run(ctx context.Context, to streams) error {
	frame, err := c.frame(ctx)
	if err != nil {
		return err
	}
	out, err := c.replay(ctx, c.ID, frame, c.All, c.DryRun)
	if err != nil {
		return err
	}
	fmt.Fprintln(to.out, out.sentence())
	return nil
}

func (c *dlqFixCmd) frame(ctx context.Context) ([]byte, error) {
	switch c.File {
	case "-":
		return io.ReadAll(os.Stdin)
	case "":
		return c.edit(ctx)
	}
	return os.ReadFile(c.File)
}

// edit opens the frame in the user's editor.
func (c *dlqFixCmd) edit(ctx context.Context) ([]byte, error) {
	editor := os.Getenv("EDITOR")
	if editor == "" {
		return nil, hinted{errors.New("there is no $EDITOR"), "give the mended frame as a file, or as - to read it"}
	}
	l, err := c.letter(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "weir-dlq-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name()) //nolint:errcheck // a file for a moment
	_, err = file.Write(l.Raw)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, err
	}
	words := strings.Fields(editor)
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], file.Name())...) //nolint:gosec // the user's own editor
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w", words[0], err)
	}
	return os.ReadFile(file.Name())
}

// replay sends a letter again. Readings that are still refused are an error.
func (f *serverFlags) replay(ctx context.Context, id string, frame []byte, all, dryRun bool) (*outcomeAnswer, error) {
	query := url.Values{}
	if all {
		query.Set("all", "true")
	}
	if dryRun {
		query.Set("dry_run", "true")
	}
	var body any
	if frame != nil {
		body = frame
	}
	out := new(outcomeAnswer)
	err := f.call(ctx, "POST", lettersPath+"/"+url.PathEscape(id)+"/replay?"+query.Encode(), body, out)
	return out, err
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (o *outcomeAnswer) sentence() string {
	verb := "stored"
	if o.DryRun {
		verb = "would be stored"
	}
	text := fmt.Sprintf("%s: %s %s", o.ID, counted(o.Stored, "reading"), verb)
	if o.Skipped > 0 {
		text += fmt.Sprintf(", %d left out that were stored before", o.Skipped)
	}
	return text
}

// lettersFlags are of commands that do something to several letters.
type lettersFlags struct {
	serverFlags
	letterFilter
	IDs   []string `arg:"" optional:"" name:"id" help:"Their ids; without any, all that --device, --code … select."`
	Limit int      `default:"1000" help:"At most so many of those selected."`
}

// chosen are the ids named, or those of the letters selected.
func (f *lettersFlags) chosen(ctx context.Context) ([]string, error) {
	if len(f.IDs) > 0 {
		return f.IDs, nil
	}
	if f.Device == "" && f.Code == "" && f.Stage == "" && f.Since == "" && f.Until == "" {
		return nil, hinted{errors.New("no letter is named"), "name ids, or select with --device, --code, --stage, --since; --device '#' means all"}
	}
	f.State = "open"
	var ids []string
	err := f.each(ctx, &f.letterFilter, f.Limit, func(l *letterAnswer) error { ids = append(ids, l.ID); return nil })
	return ids, err
}

// forEach goes on after letters that cannot be done, and tells at the end.
func (f *lettersFlags) forEach(ctx context.Context, to streams, do func(id string) error) error {
	ids, err := f.chosen(ctx)
	if err != nil {
		return err
	}
	failed := 0
	for _, id := range ids {
		if err := do(id); err != nil {
			if ctx.Err() != nil {
				return err
			}
			failed++
			fmt.Fprintf(to.err, "%s: %v\n", id, err)
		}
	}
	if failed > 0 {
		return fmt.Errorf("not done: %d of %s", failed, counted(len(ids), "dead letter"))
	}
	if len(ids) == 0 {
		fmt.Fprintln(to.err, "no dead letters")
	}
	return nil
}

type dlqReplayCmd struct {
	lettersFlags
	DryRun bool `help:"Check and store nothing."`
}

func (c *dlqReplayCmd) Run(ctx context.Context, to streams) error {
	return c.forEach(ctx, to, func(id string) error {
		out, err := c.replay(ctx, id, nil, false, c.DryRun)
		if err == nil {
			fmt.Fprintln(to.out, out.sentence())
		}
		return err
	})
}

type dlqDiscardCmd struct{ lettersFlags }

func (c *dlqDiscardCmd) Run(ctx context.Context, to streams) error {
	return c.forEach(ctx, to, func(id string) error {
		err := c.call(ctx, "DELETE", lettersPath+"/"+url.PathEscape(id), nil, nil)
		if err == nil {
			fmt.Fprintln(to.out, id+": discarded")
		}
		return err
	})
}
