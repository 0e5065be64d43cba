package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"weir/internal/joined"
	"weir/pipeline/plan"
)

type pipelineCmd struct {
	Validate pipelineValidateCmd `cmd:"" help:"Check a file of pipelines, and tell everything that is wrong with it."`
	Explain  pipelineExplainCmd  `cmd:"" help:"Show what a file of pipelines does with a series, and which entry each setting comes from."`
	DryRun   pipelineDryRunCmd   `cmd:"" name:"dry-run" help:"Run recorded readings through a file of pipelines, and show what would come out."`
}

type pipelineValidateCmd struct {
	File string `arg:"" help:"The file, such as pipelines.yaml; - is the standard input."`
}

// Help is shown below the summary of the command.
func (pipelineValidateCmd) Help() string {
	return `Examples:
  weir pipeline validate pipelines.yaml

` + faultLines
}

func (c *pipelineValidateCmd) Run(to streams) error { return validate(c.File, to, plan.Parse) }

// faultLines is what readDeclared tells.
const faultLines = `Each fault is a line: where in the file, and what is wrong. The exit code is 1 when there is one.`

// validate tells what is in a file, or all that is wrong with it.
func validate[D interface{ Summary() string }](name string, to streams, parse func([]byte) (D, error)) error {
	p, err := readDeclared(name, to, parse)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(to.out, "ok: %s\n", p.Summary())
	return err
}

type pipelineExplainCmd struct {
	File   string   `arg:"" help:"The file, such as pipelines.yaml; - is the standard input, and \"\" no file: the defaults."`
	Series []string `arg:"" help:"Series, such as plant1/oven/temperature."`
	JSON   bool     `help:"Print one JSON object per series."`
}

// Help is shown below the summary of the command.
func (pipelineExplainCmd) Help() string {
	return `Examples:
  weir pipeline explain pipelines.yaml plant1/oven/temperature
  weir pipeline explain "" plant1/oven/temperature --json`
}

func (c *pipelineExplainCmd) Run(to streams) error {
	p := plan.Default()
	if c.File != "" {
		var err error
		if p, err = readPlan(c.File, to); err != nil {
			return err
		}
	}
	for i, series := range c.Series {
		x := p.Explain(series)
		if c.JSON {
			if err := printJSON(to.out, x); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(to.out)
		}
		if err := printExplanation(to.out, x); err != nil {
			return err
		}
	}
	return nil
}

// stdin is the standard input.
const stdin = "-"

// openInput opens a file to read. The standard input stays open when it is closed.
func openInput(name string) (io.ReadCloser, error) {
	if name == stdin {
		return io.NopCloser(os.Stdin), nil
	}
	return os.Open(name)
}

// readPlan reads a file of pipelines.
func readPlan(name string, to streams) (*plan.Plan, error) { return readDeclared(name, to, plan.Parse) }

// readDeclared reads a file. Its faults are results, one a line.
func readDeclared[D any](name string, to streams, parse func([]byte) (D, error)) (parsed D, err error) {
	text, err := readBounded(name)
	if err != nil {
		return parsed, err
	}
	if parsed, err = parse(text); err == nil {
		return parsed, nil
	}
	faults := joined.All(err)
	for _, f := range faults {
		fmt.Fprintf(to.out, "%s: %v\n", name, f)
	}
	if len(faults) == 1 {
		return parsed, fmt.Errorf("%s has a fault", name)
	}
	return parsed, fmt.Errorf("%s has %d faults", name, len(faults))
}

// readBounded reads no more than tells that a file is too large.
func readBounded(name string) (text []byte, err error) {
	in, err := openInput(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	return io.ReadAll(io.LimitReader(in, plan.MaxBytes+1))
}

func printExplanation(out io.Writer, x *plan.Explanation) error {
	fmt.Fprintln(out, x.Series)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(w, "  "+strings.Join(cells, "\t")) }
	if x.Made != "" {
		row("made", x.Made)
	}
	for _, e := range x.Entries {
		row("entry", e.Name, fmt.Sprintf("line %d", e.Line), "by "+strings.Join(e.Match, ", "))
	}
	if len(x.Entries) == 0 {
		row("entry", "none: the defaults apply")
	}
	for _, s := range x.Settings {
		row(s.Name, s.Value, "from "+s.From)
	}
	for _, part := range []struct {
		name  string
		lines []string
	}{
		{"rule", x.Rules}, {"publishes", x.Outputs}, {"used by", x.Derived}, {"member of", x.Groups}, {"asks", x.Lookups}, {"FAULT", x.Faults},
	} {
		for _, line := range part.lines {
			row(part.name, line)
		}
	}
	return w.Flush()
}
