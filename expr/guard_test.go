package expr

import (
	"errors"
	"testing"
)

func TestAPanicIsAFaultOfTheExpression(t *testing.T) {
	read := func(fall bool) (err error) {
		defer Guard(&err)
		if fall {
			panic("fell")
		}
		return errors.ErrUnsupported
	}
	var fault *Error
	if err := read(true); !errors.As(err, &fault) || fault.Error() != "column 1: the expression cannot be read: fell" {
		t.Errorf("%v", err)
	}
	if err := read(false); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without one: %v", err)
	}
}
