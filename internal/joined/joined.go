// Package joined takes apart what errors.Join has put together: who checks something tells all that is wrong with it at once,
// and whoever called says where that was.
package joined

import (
	"errors"
	"fmt"
)

// All are the errors that err was joined of, in their order, with those that these were joined of; of another error
// itself, of nil none.
func All(err error) []error {
	if err == nil {
		return nil
	}
	parts, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, part := range parts.Unwrap() {
		all = append(all, All(part)...)
	}
	return all
}

// Prefixed puts a prefix before each of the errors that err was joined of, as a component does before the field that each
// names; nil if err is.
func Prefixed(prefix string, err error) error {
	all := All(err)
	for i := range all {
		all[i] = fmt.Errorf("%s%w", prefix, all[i])
	}
	return errors.Join(all...)
}
