//go:build !linux

package pipeline

import "time"

var started = time.Now()

// threadTime and processTime are the clock here: measure on a machine that does nothing else.
func threadTime() time.Duration { return time.Since(started) }

func processTime() time.Duration { return time.Since(started) }
