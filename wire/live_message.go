package wire

import "bytes"

// SplitMessage returns the type and the payload of a message of the live protocol that this package has appended. Both
// refer to m.
func SplitMessage(m []byte) (kind string, payload []byte) {
	const before, between, after = `{"type":"`, `","payload":`, "}"
	m = m[len(before) : len(m)-len(after)]
	at := bytes.Index(m, []byte(between))
	return alias(m[:at]), m[at+len(between):]
}
