package rooms

// ranked are things that know where in a heap they are.
type ranked[T any] interface {
	before(other T) bool
	movedTo(i int)
}

var (
	_ ranked[*room]       = (*room)(nil)
	_ ranked[*share[any]] = (*share[any])(nil)
)

// ordered is a heap for container/heap.
type ordered[T ranked[T]] []T

func (o ordered[T]) Len() int           { return len(o) }
func (o ordered[T]) Less(i, j int) bool { return o[i].before(o[j]) }

func (o ordered[T]) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].movedTo(i)
	o[j].movedTo(j)
}

// Push appends a T.
func (o *ordered[T]) Push(x any) {
	one, _ := x.(T)
	one.movedTo(len(*o))
	*o = append(*o, one)
}

// Pop takes the last one out.
func (o *ordered[T]) Pop() any {
	last := len(*o) - 1
	one := (*o)[last]
	var none T
	(*o)[last] = none
	*o = (*o)[:last]
	return one
}
