package ingest

import (
	"fmt"
	"log/slog"
)

// gwsLogger carries what gws has to say, which is a recovered panic's stack, into the process's log.
type gwsLogger struct{ logger *slog.Logger }

func (l gwsLogger) Error(v ...any) { l.logger.Error("gws", "message", fmt.Sprint(v...)) }
