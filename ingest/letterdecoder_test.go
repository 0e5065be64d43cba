package ingest

import (
	"errors"
	"strings"
	"testing"

	"weir/wire"
)

// Who replays a bridge's dead letter is told what to do instead, not that Weir does not know a format.
func TestARecordOfABridgeIsNotReadAsAFrame(t *testing.T) {
	var refusal *wire.Error
	_, err := new(Server).LetterDecoder(&wire.DeadLetter{Stage: wire.StageBridge, Format: wire.StageBridge, Topic: "erp.orders"})
	if !errors.As(err, &refusal) || refusal.Path != "id" || !strings.Contains(refusal.Message, "produce the mended record") || !strings.Contains(refusal.Message, "erp.orders") {
		t.Errorf("%v", err)
	}
}
