package wire

import (
	"errors"
	"fmt"

	"weir/wire/weirpb"
)

// ErrRecord is wrapped by the errors about records that do not decode.
var ErrRecord = errors.New("malformed record")

// Marker is the value of the record that ends a checkpoint in weir.latest: the offsets of weir.updates and
// weir.alerts up to which latest is complete, and the next offset of weir.readings to be read.
type Marker struct {
	Updates, Alerts, Readings int64
	// Time is when the checkpoint was taken (µs), by the clock of its owner; 0: not known.
	Time int64
}

// DeadLetter is input that was refused, kept to be fixed and replayed.
type DeadLetter struct {
	// Code, Path (inside Raw, such as readings[4].value) and Message say why.
	Code, Path, Message string
	Device              string
	// Time is when it was refused, in microseconds.
	Time int64
	Raw  []byte
	// Stage is who refused it: ingest, pipeline, bridge.
	Stage string
	// Topic, Partition and Offset are of the record, if it had been stored.
	// Of a resolution (Stage StageReplay) they are of the letter that it is about.
	Topic     string
	Partition int32
	Offset    int64
	// Format is how Raw is to be read (Format.String), DefaultDevice the device of readings that name none.
	Format, DefaultDevice string
	// Rejected are the positions in the frame of the readings refused, when the others were stored; empty:
	// nothing of the frame was.
	Rejected []uint32
	// Size is how many bytes the frame had, of which Raw may hold the beginning only.
	Size int
	// Subject is who sent it.
	Subject string
	// Tenant is put before devices that templates name, TimeUnit (TimeUnit.String) is of times that are numbers.
	Tenant, TimeUnit string
}

// Stages of a DeadLetter.
const (
	StageIngest   = "ingest"
	StagePipeline = "pipeline"
	StageBridge   = "bridge"
	// StageReplay marks the record of what became of a letter: Code is replayed or discarded, Message who did
	// it, Topic, Partition and Offset name the letter.
	StageReplay = "replay"
)

// Truncated reports whether Raw lacks the end of the frame.
func (d *DeadLetter) Truncated() bool { return d.Size > len(d.Raw) }

// AppendMarker appends the record of a marker.
func AppendMarker(dst []byte, m Marker) []byte {
	return appendMessage(dst, &weirpb.Marker{
		UpdatesOffset: m.Updates, AlertsOffset: m.Alerts, ReadingsOffset: m.Readings, Time: m.Time,
	})
}

// DecodeMarker reads the record of a marker.
func DecodeMarker(b []byte) (Marker, error) {
	var m weirpb.Marker
	if err := m.UnmarshalVT(b); err != nil {
		return Marker{}, fmt.Errorf("decode marker: %w: %w", ErrRecord, err)
	}
	return Marker{Updates: m.UpdatesOffset, Alerts: m.AlertsOffset, Readings: m.ReadingsOffset, Time: m.Time}, nil
}

// AppendDeadLetter appends the record of a dead letter.
func AppendDeadLetter(dst []byte, d *DeadLetter) []byte {
	return appendMessage(dst, &weirpb.DeadLetter{
		Code: d.Code, Path: d.Path, Message: d.Message, Device: d.Device, Time: d.Time, Raw: d.Raw,
		Stage: d.Stage, Topic: d.Topic, Partition: d.Partition, Offset: d.Offset,
		Format: d.Format, DefaultDevice: d.DefaultDevice, Rejected: d.Rejected, Size: uint64(d.Size), Subject: d.Subject,
		Tenant: d.Tenant, TimeUnit: d.TimeUnit,
	})
}

// DecodeDeadLetter reads the record of a dead letter.
func DecodeDeadLetter(b []byte) (DeadLetter, error) {
	var m weirpb.DeadLetter
	if err := m.UnmarshalVT(b); err != nil {
		return DeadLetter{}, fmt.Errorf("decode dead letter: %w: %w", ErrRecord, err)
	}
	return DeadLetter{
		Code: m.Code, Path: m.Path, Message: m.Message, Device: m.Device, Time: m.Time, Raw: m.Raw,
		Stage: m.Stage, Topic: m.Topic, Partition: m.Partition, Offset: m.Offset,
		Format: m.Format, DefaultDevice: m.DefaultDevice, Rejected: m.Rejected, Size: int(m.Size), Subject: m.Subject,
		Tenant: m.Tenant, TimeUnit: m.TimeUnit,
	}, nil
}

// message is what generated code offers to write.
type message interface {
	SizeVT() int
	MarshalToSizedBufferVT(b []byte) (int, error)
}

// appendMessage appends m. The generated code cannot fail into a buffer of the size it asked for.
func appendMessage(dst []byte, m message) []byte {
	n := m.SizeVT()
	dst = append(dst, make([]byte, n)...)
	if _, err := m.MarshalToSizedBufferVT(dst[len(dst)-n:]); err != nil {
		panic(fmt.Sprintf("wire: encode record: %v", err))
	}
	return dst
}
