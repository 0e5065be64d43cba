//go:build !unix

package ingest

// mayWatch: a socket cannot be waited on without reading from it.
const mayWatch = false

// readable is not called: readers do not rest.
func (c *conn) readable() error { return nil }
