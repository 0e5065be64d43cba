package app

import (
	"weir/alerts"
	"weir/kafka/table"
	"weir/push"
)

// startAlerts lets people see what alerts there are, and act on them. source knows the alerts; silences are listed in
// devices, the table of weir.devices, which does not run yet.
func (a *App) startAlerts(b *build, source *push.Server, devices *table.Table) error {
	api, err := alerts.New(alerts.Options{
		Source: source, Producer: b.producer, Table: devices, Partitions: b.id.Partitions, Logger: a.log.With("component", "alerts"),
	})
	if err != nil {
		return err
	}
	api.Routes(b.routes)
	a.background("alerts", api.Run)
	return nil
}
