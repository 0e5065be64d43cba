package push

import (
	"testing"

	"weir/telemetry"
	"weir/wire"
)

// A client that paints each frame and grants the next one sends messages as fast as it gets frames.
func TestCreditIsTakenHoweverFastItComes(t *testing.T) {
	s := startServer(t, func(o *Options) { o.Config.MessageRate, o.Config.MessageBurst = 0.001, 3 })
	s.feed(single("p/a/m", 0, 1))
	c, f := s.dial(dialOptions{}), newFollower(t)
	c.send(`{"type":"credit","payload":{"frames":1}}`)
	c.subscribe("x", "p/#", 0)
	c.followUntil(f, "subscribed", func() bool { return f.series("x", "p/a/m") != nil })
	const n = 50
	for i := 1; i <= n; i++ {
		s.feed(single("p/a/m", telemetry.Version(i), float64(i)))
		c.followUntil(f, "the next update", func() bool { return f.series("x", "p/a/m").seen == telemetry.Version(i) })
		c.send(`{"type":"credit","payload":{"frames":%d}}`, i+1)
	}
	if len(f.errors) > 0 {
		t.Errorf("refused: %+v", f.errors[0])
	}
	// None of it was taken from what else the client may say.
	c.send(`{"type":"app_ping","payload":{"t":1}}`)
	c.send(`{"type":"app_ping","payload":{"t":2}}`)
	c.send(`{"type":"subscribe","payload":{"id":"y","patterns":["p/#"]}}`)
	c.followUntil(f, "an answer", func() bool { return len(f.errors) == 1 })
	if e := f.errors[0]; e.Code != wire.CodeOverloaded || e.ID != "y" {
		t.Errorf("refused: %+v", e)
	}
}
