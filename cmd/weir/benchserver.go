package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// measuredServer is the server that a benchmark starts.
type measuredServer struct {
	ServerLog string `type:"path" placeholder:"FILE" help:"File for the server's log (default: discarded)."`
}

// open tells what to start, this program, and where its log goes until end.
func (m measuredServer) open() (program string, log io.Writer, end func(), err error) {
	program, err = os.Executable()
	if err != nil {
		return "", nil, nil, fmt.Errorf("find this program: %w", err)
	}
	if m.ServerLog == "" {
		return program, io.Discard, func() {}, nil
	}
	file, err := os.Create(filepath.Clean(m.ServerLog))
	if err != nil {
		return "", nil, nil, fmt.Errorf("--server-log: %w", err)
	}
	return program, file, func() { _ = file.Close() }, nil
}
