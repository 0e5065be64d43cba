package app

import (
	"context"
	"net/http"

	"weir/auth"
	"weir/internal/remote"
	"weir/kafka"
	"weir/kafka/table"
	"weir/wire"
)

// startAuth makes the gate of a server that asks for credentials, and waits until it can tell them apart. Routes
// made before have none behind them that need it.
func (a *App) startAuth(ctx context.Context, client *kafka.Client, producer *kafka.Producer, partitions int, proxies remote.Proxies) error {
	c := &a.opts.Config
	if c.InsecureOpen {
		return nil // auth.Open lets everybody in
	}
	log := a.log.With("component", "auth")
	t := a.newTable(client, producer, wire.TopicAuth, partitions)
	keeper, err := auth.New(auth.Options{
		Config: c.Auth, Proxies: proxies, Store: t, DataDir: c.Data, Metrics: a.set, Logger: log})
	if err != nil {
		return err
	}
	a.background("table of credentials", t.Run)
	a.background("auth", keeper.Run)
	if err := a.await(ctx, "auth", keeper.Ready()); err != nil {
		return err
	}
	a.gate, a.keeper = keeper, keeper
	return nil
}

// closedGate is the gate of a server that asks for credentials and cannot tell them apart yet.
type closedGate struct{ auth.Open }

// Request implements auth.Gate.
func (closedGate) Request(*http.Request) (*auth.Principal, error) {
	return nil, wire.NewError(wire.CodeNotReady, "")
}

// Token implements auth.Gate.
func (closedGate) Token(context.Context, string) (*auth.Principal, error) {
	return nil, wire.NewError(wire.CodeNotReady, "")
}

// newTable is a compacted topic of this process.
func (a *App) newTable(client *kafka.Client, producer *kafka.Producer, topic string, partitions int) *table.Table {
	o := table.Options{Client: client, Producer: producer, Topic: topic, Partitions: partitions, Logger: a.log.With("component", "registry"), Metrics: a.set}
	if a.broker != nil {
		o.Trimmer = a.broker
	}
	return table.New(o)
}

// OperatorLink is an address that signs a browser in, once; empty when nobody has to sign in. To be asked for
// after Started.
func (a *App) OperatorLink() (string, error) {
	if a.keeper == nil {
		return "", nil
	}
	return a.keeper.OperatorLink(a.URL())
}
