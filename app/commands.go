package app

import (
	"fmt"

	"weir/auth"
	"weir/commands"
	"weir/kafka"
)

// startCommands begins to carry commands to devices, and returns what ingest attaches them to.
func (a *App) startCommands(client *kafka.Client, producer *kafka.Producer, partitions int, routes *auth.Router) (*commands.Hub, error) {
	h, err := commands.New(commands.Options{
		Config: a.opts.Config.Commands, Client: client, Producer: producer, Partitions: partitions,
		Logger: a.log.With("component", "commands"), Metrics: a.set,
	})
	if err != nil {
		return nil, fmt.Errorf("commands: %w", err)
	}
	h.Routes(routes)
	a.background("commands", h.Run)
	return h, nil
}
