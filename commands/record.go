package commands

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

// The types of records in weir.messages that are of commands.
const (
	typeCommand   = "command"
	typeDelivered = "command_delivered"
	typeResult    = "command_result"
)

// version is the layout of the records.
const version = 1

// record is a value of weir.messages. Its key is the device. Times are in milliseconds.
type record struct {
	Version int             `json:"v"`
	Type    string          `json:"type"`
	ID      string          `json:"id"`
	Name    string          `json:"name,omitempty"`
	Args    json.RawMessage `json:"args,omitempty"`
	By      string          `json:"by,omitempty"`
	At      int64           `json:"at_ms"`
	Expires int64           `json:"expires_at_ms,omitempty"`
	Result  *Result         `json:"result,omitempty"`
}

var (
	errOther   = errors.New("not of commands")
	errVersion = errors.New("unknown layout")
	errInvalid = errors.New("not a valid record of commands")
)

// decodeRecord reads a value. Records of others are errOther.
func decodeRecord(value []byte) (*record, error) {
	if !bytes.Contains(value, []byte(`"`+typeCommand)) {
		return nil, errOther // spares decoding what others write
	}
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, errInvalid
	}
	switch {
	case r.Type != typeCommand && r.Type != typeDelivered && r.Type != typeResult:
		return nil, errOther
	case r.Version != version:
		return nil, errVersion
	case r.ID == "" || len(r.ID) > MaxIDBytes,
		r.Type == typeCommand && (len(r.Name) > MaxNameBytes || len(r.Args) > MaxArgsBytes || r.Expires <= 0),
		r.Type == typeResult && (r.Result == nil || len(r.Result.Result) > MaxResultBytes || len(r.Result.Error) > maxErrorBytes):
		return nil, errInvalid
	}
	return &r, nil
}

func (r *record) encode() ([]byte, error) {
	r.Version = version
	return json.Marshal(r)
}

func recordOf(c *Command) *record {
	return &record{
		Type: typeCommand, ID: c.ID, Name: c.Name, Args: c.Args, By: c.By, At: c.Created.UnixMilli(), Expires: c.Expires.UnixMilli()}
}

func (r *record) command(device string) Command {
	return Command{
		ID: r.ID, Device: device, Name: r.Name, Args: r.Args, By: r.By,
		Created: time.UnixMilli(r.At), Expires: time.UnixMilli(r.Expires)}
}
