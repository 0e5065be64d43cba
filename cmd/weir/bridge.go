package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"weir/bridge"
	"weir/kafka"
	"weir/wire"
)

type bridgeCmd struct {
	Validate bridgeValidateCmd `cmd:"" help:"Check a file of bridges, and tell everything that is wrong with it."`
	DryRun   bridgeDryRunCmd   `cmd:"" name:"dry-run" help:"Show what a bridge would make of records."`
}

type bridgeValidateCmd struct {
	File string `arg:"" help:"The file, such as bridges.yaml; - is the standard input."`
}

// Help is shown below the summary of the command.
func (bridgeValidateCmd) Help() string {
	return `Examples:
  weir bridge validate bridges.yaml

` + faultLines
}

func (c *bridgeValidateCmd) Run(to streams) error { return validate(c.File, to, bridge.Parse) }

type bridgeDryRunCmd struct {
	File   string `arg:"" help:"The file, such as bridges.yaml."`
	Bridge string `arg:"" help:"The name of the bridge."`
	Input  string `help:"File with the value of a record in each line; - is the standard input." default:"-"`
	Key    string `help:"Key of the records."`
}

// Help is shown below the summary of the command.
func (bridgeDryRunCmd) Help() string {
	return `Examples:
  kcat -C -e -t erp.orders | weir bridge dry-run bridges.yaml maintenance

Each line is what becomes of a record, as JSON. Nothing is sent.`
}

// maxRecordLine bounds a record in a dry run.
const maxRecordLine = 2 * bridge.MaxValueBytes

func (c *bridgeDryRunCmd) Run(to streams) error {
	p, err := readDeclared(c.File, to, bridge.Parse)
	if err != nil {
		return err
	}
	b := p.Find(c.Bridge)
	if b == nil {
		return fmt.Errorf("%s has no bridge %q", c.File, c.Bridge)
	}
	in, err := openInput(c.Input)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxRecordLine)
	for offset := int64(0); lines.Scan(); offset++ {
		r := kafka.Record{Offset: offset, Time: time.Now().UnixMilli(), Value: lines.Bytes()}
		if c.Key != "" {
			r.Key = []byte(c.Key)
		}
		out := b.Apply(bridge.Origin{Topic: b.Topic, Record: &r}, time.Now())
		if err := json.NewEncoder(to.out).Encode(viewOf(&out)); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("a record is longer than %d bytes", maxRecordLine)
	}
	return lines.Err()
}

// outcomeView is an outcome as dry runs show it.
type outcomeView struct {
	Outcome string             `json:"outcome"`
	Message *wire.MessageValue `json:"message,omitempty"`
	Command json.RawMessage    `json:"command,omitempty"`
	Device  string             `json:"device,omitempty"`
	Reading json.RawMessage    `json:"reading,omitempty"`
	Failure *wire.Error        `json:"failure,omitempty"`
}

func viewOf(out *bridge.Outcome) outcomeView {
	v := outcomeView{Outcome: out.Verdict.String(), Message: out.Message, Reading: out.Reading, Failure: out.Failure}
	if c := out.Command; c != nil {
		v.Device, v.Command = c.Device, c.AppendPayload(nil)
	}
	return v
}
