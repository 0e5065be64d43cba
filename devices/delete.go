package devices

import (
	"context"
	"net/http"

	"weir/auth"
	"weir/kafka"
	"weir/wire"
)

// handleDelete answers 202: what is known of the device here is gone, and the command that removes its series is
// stored, but not carried out yet.
func (r *Registry) handleDelete(w http.ResponseWriter, req *http.Request) {
	device := req.PathValue("device")
	p := auth.PrincipalOf(req.Context())
	if !deviceIn(w, device) {
		return
	}
	if !mayAct(p, device) {
		wire.Refuse(w, wire.NewError(wire.CodeForbidden, "device"))
		return
	}
	if !r.ready(w) {
		return
	}
	if err := r.Delete(req.Context(), device, p.Subject); err != nil {
		r.log.Warn("device not deleted", "device", device, "error", err)
		wire.Refuse(w, wire.NewError(wire.CodeNotStored, ""))
		return
	}
	wire.WriteJSON(w, http.StatusAccepted, map[string]string{"device": device})
}

// Delete forgets a device: its metadata, its presence, its health here, and, by a command among its readings, its
// state, its series and their open alerts. A device that is not known may be deleted; one that sends again begins
// anew. The command comes first: when a later step fails, another attempt completes what is missing.
func (r *Registry) Delete(ctx context.Context, device, by string) error {
	command := wire.Control{Kind: wire.ControlDeleteDevice, Device: device, Time: r.micros(), By: by}
	record := kafka.Record{Time: command.Time / 1000, Key: []byte(device), Value: wire.AppendControl(nil, &command)}
	partition := kafka.PartitionFor(device, r.opts.Partitions)
	if _, err := r.opts.Producer.ProduceSync(ctx, wire.TopicReadings, partition, []kafka.Record{record}); err != nil {
		return err
	}
	turn := r.turn(device)
	turn.Lock()
	defer turn.Unlock()
	if err := r.table.Delete(ctx, metaPrefix+device); err != nil {
		return err
	}
	if err := r.table.Delete(ctx, connPrefix+device); err != nil {
		return err
	}
	r.m.deleted.Inc()
	r.log.Info("device deleted", "device", device, "by", by)
	return nil
}

// deleted follows a deletion, by whichever instance, once all that is old has been read.
func (r *Registry) deleted(device string) {
	select {
	case <-r.table.Ready():
		r.forget(device)
	default:
	}
}

// forget drops what this instance counted. Of a device that is connected it keeps that, and says nothing until it
// is heard of again.
func (r *Registry) forget(device string) {
	s := r.shards.of(device)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[device]
	if e == nil {
		return
	}
	if e.presence.conns == 0 {
		r.shards.dropLocked(s, e)
		return
	}
	e.health.clear(&r.shards.faulty)
	e.presence = presence{conns: e.presence.conns, peer: e.presence.peer, quiet: true}
}
