package push

// ranking is a heap of series by their index, of which each can be found. Guarded by hub.mu.
type ranking struct {
	first func(i, j uint32) bool // whether i is nearer to the top than j
	items []uint32
	at    []int32 // of each series: its place in items plus one; 0: it is not here
}

func (r *ranking) len() int { return len(r.items) }

func (r *ranking) has(idx uint32) bool { return r.at[idx] != 0 }

func (r *ranking) top() uint32 { return r.items[0] }

// put adds a series, or finds its place anew.
func (r *ranking) put(idx uint32) {
	if r.at[idx] == 0 {
		r.items = append(r.items, idx)
		r.at[idx] = int32(len(r.items))
	}
	r.settle(int(r.at[idx] - 1))
}

// remove takes a series out, if it is here.
func (r *ranking) remove(idx uint32) {
	at, last := int(r.at[idx]-1), len(r.items)-1
	if at < 0 {
		return
	}
	r.swap(at, last)
	r.items = r.items[:last]
	r.at[idx] = 0
	if at < last {
		r.settle(at)
	}
}

// settle moves the item at a place up or down to where it belongs.
func (r *ranking) settle(at int) {
	start := at
	for at > 0 && r.first(r.items[at], r.items[(at-1)/2]) {
		r.swap(at, (at-1)/2)
		at = (at - 1) / 2
	}
	if at != start {
		return
	}
	for {
		child := 2*at + 1
		if child >= len(r.items) {
			return
		}
		if right := child + 1; right < len(r.items) && r.first(r.items[right], r.items[child]) {
			child = right
		}
		if !r.first(r.items[child], r.items[at]) {
			return
		}
		r.swap(at, child)
		at = child
	}
}

func (r *ranking) swap(a, b int) {
	r.items[a], r.items[b] = r.items[b], r.items[a]
	r.at[r.items[a]], r.at[r.items[b]] = int32(a+1), int32(b+1)
}
