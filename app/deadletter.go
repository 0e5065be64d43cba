package app

import (
	"weir/auth"
	"weir/deadletter"
	"weir/ingest"
	"weir/kafka"
)

// startDeadLetters lets operators see and replay what was refused. Frames are read as s reads them.
func (a *App) startDeadLetters(client *kafka.Client, producer *kafka.Producer, partitions int, s *ingest.Server, routes *auth.Router) {
	store := deadletter.New(deadletter.Options{
		Client: client, Producer: producer, Partitions: partitions, Decoder: s.LetterDecoder, Lateness: a.opts.Config.Ingest.Lateness,
		Logger: a.log.With("component", "dead_letters"), Metrics: a.set,
	})
	store.Routes(routes)
	a.background("dead letters", store.Run)
}
