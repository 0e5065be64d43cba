package push

import (
	"sync"

	"weir/wire"
)

// maxFilters is how many conditions are kept compiled.
const maxFilters = 1000

// filters keeps conditions compiled, so that this is done once for each, and not under the hub's lock.
type filters struct {
	mu    sync.Mutex
	known map[string]*filter
}

// get compiles a condition, or finds it; "" is none.
func (f *filters) get(source string) (*filter, *wire.Error) {
	if source == "" {
		return nil, nil
	}
	f.mu.Lock()
	known := f.known[source]
	f.mu.Unlock()
	if known != nil {
		return known, nil
	}
	made, err := compileFilter(source)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil || len(f.known) == maxFilters {
		f.known = make(map[string]*filter)
	}
	f.known[source] = made
	return made, nil
}
