//go:build soak

package soak

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is a stretch of network that can be broken.
type link struct {
	name  string
	proxy *toxiproxy.Proxy
	busy  atomic.Bool
}

// connect makes a link from an address to another.
func connect(t *testing.T, name, from, to string) *link {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxics log by themselves
	hub := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l := &link{name: name, proxy: toxiproxy.NewProxy(hub, name, from, to)}
	if err := l.proxy.Start(); err != nil {
		t.Fatalf("proxy %s: %v", name, err)
	}
	t.Cleanup(l.proxy.Stop)
	return l
}

func (l *link) addr() string { return l.proxy.Listen }

// down cuts all connections and refuses new ones.
func (l *link) down() { l.proxy.Stop() }

func (l *link) up() error { return l.proxy.Start() }

// toxic is a way to be broken.
type toxic struct {
	kind, attributes string
}

// poison breaks the link, in both directions, until clear.
func (l *link) poison(x toxic) error {
	for _, direction := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"type":%q,"stream":%q,"attributes":{%s}}`, x.kind, direction, x.attributes)
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			return fmt.Errorf("%s: %s: %w", l.name, x.kind, err)
		}
	}
	return nil
}

// worsen changes how the link is broken already, without a moment in between in which it is not.
func (l *link) worsen(x toxic) error {
	for _, direction := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"attributes":{%s}}`, x.attributes)
		if _, err := l.proxy.Toxics.UpdateToxicJson(x.kind+"_"+direction, strings.NewReader(text)); err != nil {
			return fmt.Errorf("%s: %s: %w", l.name, x.kind, err)
		}
	}
	return nil
}

func (l *link) clear(ctx context.Context) { l.proxy.Toxics.ResetToxics(ctx) }
