//go:build !unix

package app

// fileLimit is how many files the process may have open: here, no limit is known.
func fileLimit() int { return maxFiles }
