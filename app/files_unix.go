//go:build unix

package app

import (
	"syscall"
)

// fileLimit is how many files the process may have open.
func fileLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024 // what POSIX systems grant by default
	}
	return int(min(uint64(limit.Cur), maxFiles)) //nolint:gosec,unconvert // bounded; signed on some systems
}
