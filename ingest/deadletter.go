package ingest

import (
	"context"
	"time"

	"weir/kafka"
	"weir/wire"
)

// deadLetter keeps a frame that was refused, wholly or in part, so that it can be mended and replayed. It
// counts among the frame's records: its receipt waits for it.
func (e *encoder) deadLetter(ctx context.Context, raw []byte, r *receipt, letter wire.DeadLetter) {
	if letter.Device == "" {
		letter.Device = e.usual()
	}
	letter.Tenant = e.tenant
	e.file(ctx, raw, r, &letter)
}

// usual is the device that a frame is of when it does not tell.
func (e *encoder) usual() string {
	if e.own != "" {
		return e.own
	}
	return onlyDevice(e.principal) // what is below the device's path, as an MQTT topic may be, is its own still
}

// file stores a letter of which it is known whose it is.
func (e *encoder) file(ctx context.Context, raw []byte, r *receipt, letter *wire.DeadLetter) {
	letter.Time, letter.Stage = r.started, wire.StageIngest
	letter.Raw, letter.Size = raw[:min(len(raw), maxDeadLetterBytes)], len(raw)
	letter.Format, letter.DefaultDevice = e.format.String(), e.own
	letter.TimeUnit = e.unit.String()
	if e.principal != nil {
		letter.Subject = e.principal.Subject
	}
	value := wire.AppendDeadLetter(nil, letter)
	rec := kafka.Record{Time: r.started / 1000, Key: []byte(letter.Device), Value: value}
	e.srv.metrics.deadLetters.Inc()
	r.hold(&e.srv.shares[live], live, int64(len(value)+recordOverhead))
	e.send(ctx, r, wire.TopicDeadLetters, kafka.PartitionFor(letter.Device, e.srv.partitions), []kafka.Record{rec})
}

// keepRejected counts what was refused in a frame and keeps the frame. That of several tenants is shown to none of them: its
// letter has no device and no tenant, so that it is for those who may see all. It is not part of submit, whose frame on the
// stack comes before that of everything else.
//
//go:noinline
func (e *encoder) keepRejected(ctx context.Context, raw []byte, r *receipt, frame *wire.Frame) {
	for i := range frame.Rejected {
		byCode(e.srv.metrics.rejectedReadings, frame.Rejected[i].Code).Inc()
	}
	letter := letterOf(frame)
	if e.ofSeveral(frame) {
		letter.Device = ""
		e.file(ctx, raw, r, &letter)
		return
	}
	e.deadLetter(ctx, raw, r, letter)
}

// ofSeveral reports whether a frame is of devices of more than one tenant, those included that were refused, and the
// device under which it would be filed. A sender of one tenant says nothing of others that its tenant may not see.
func (e *encoder) ofSeveral(frame *wire.Frame) bool {
	if e.tenant != "" {
		return false
	}
	tenant, several := "", false
	count := func(device string) {
		if of := tenantOf(device); of != "" {
			several = several || tenant != "" && tenant != of
			tenant = of
		}
	}
	for i := range frame.Batches {
		count(frame.Batches[i].Device)
	}
	for _, device := range frame.RejectedOf {
		count(device)
	}
	if len(frame.Batches) == 0 {
		count(e.usual())
	}
	return several
}

// letterOf describes a frame by the first reading refused in it, and says which were when others are stored. The
// batches that are left in it are those of devices that its sender may write.
func letterOf(frame *wire.Frame) wire.DeadLetter {
	first := &frame.Rejected[0]
	letter := wire.DeadLetter{Code: first.Code, Path: first.Path, Message: first.Message}
	if len(frame.Batches) > 0 {
		letter.Device = frame.Batches[0].Device
		for i := range frame.Rejected {
			letter.Rejected = append(letter.Rejected, uint32(frame.Rejected[i].Index))
		}
	}
	return letter
}

// LetterDecoder makes what the frame of a dead letter is read with, as it was when it came: readings without a time
// are of then.
func (s *Server) LetterDecoder(l *wire.DeadLetter) (wire.FrameDecoder, error) {
	if l.Stage == wire.StageBridge {
		return nil, &wire.Error{Code: wire.CodeFormatUnknown, Path: "id",
			Message: "the dead letter is a record of the topic " + l.Topic + ", which a bridge could not carry; produce the mended record to that topic"}
	}
	format, ok := wire.ParseFormat(l.Format)
	if !ok {
		return nil, &wire.Error{Code: wire.CodeFormatUnknown, Message: "the dead letter is in a format that is not read here: " + l.Format}
	}
	opts := s.decoderOptions(l.DefaultDevice)
	opts.Tenant, opts.Now = l.Tenant, func() int64 { return l.Time }
	opts.MaxFuture += time.Since(time.UnixMicro(l.Time)) // a mended frame may be of today
	if unit, ok := wire.ParseTimeUnit(l.TimeUnit); ok {
		opts.TimeUnit = unit
	}
	return wire.NewFrameDecoder(format, opts), nil
}
