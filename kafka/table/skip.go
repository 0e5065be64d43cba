package table

import (
	"errors"

	"weir/kafka"
)

// Skip has a tail go on where it can, after an error of its Next: at the beginning of what retention has left, or
// behind a damaged batch, of which lost is how many offsets it held. ok is false for other errors, which may pass.
func Skip(tail *kafka.Tail, err error) (lost int64, ok bool) {
	var trimmed *kafka.ErrOffsetOutOfRange
	if errors.As(err, &trimmed) {
		tail.SeekTo(kafka.FirstOffset)
		return 0, true
	}
	var corrupt *kafka.CorruptError
	if errors.As(err, &corrupt) {
		tail.SeekTo(corrupt.Next)
		return corrupt.Next - corrupt.First, true
	}
	return 0, false
}
