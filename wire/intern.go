package wire

// Bounds of an interner, so that a client that makes up names does not fill the memory.
const (
	maxInternNames = 1024
	maxInternBytes = 64 << 10
)

// interner keeps the names that passed check, so that each is checked and allocated once. When it is full
// it starts anew.
type interner struct {
	check func(string) error
	names map[string]string
	bytes int
}

// get returns name as a string, or why it was refused.
func (in *interner) get(name []byte) (string, verdict) {
	if s, ok := in.names[string(name)]; ok {
		return s, good
	}
	if len(name) == 0 {
		return "", pathEmpty
	}
	s := string(name)
	if err := in.check(s); err != nil {
		return "", pathVerdict(err)
	}
	if in.names == nil || len(in.names) >= maxInternNames || in.bytes+len(s) > maxInternBytes {
		in.names = make(map[string]string)
		in.bytes = 0
	}
	in.names[s] = s
	in.bytes += len(s)
	return s, good
}
