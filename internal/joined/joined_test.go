package joined_test

import (
	"errors"
	"io"
	"slices"
	"testing"

	"weir/internal/joined"
)

func TestAllAreThoseThatWereJoined(t *testing.T) {
	a, b, c := errors.New("a: wrong"), errors.New("b: wrong"), io.EOF
	for name, test := range map[string]struct {
		err  error
		want []error
	}{
		"nil": {nil, nil}, "one": {a, []error{a}}, "joined": {errors.Join(a, nil, b), []error{a, b}},
		"joined of joined": {errors.Join(a, errors.Join(b, errors.Join(c))), []error{a, b, c}},
	} {
		if got := joined.All(test.err); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestAPrefixIsPutBeforeEach(t *testing.T) {
	err := joined.Prefixed("push.", errors.Join(errors.New("a: wrong"), errors.Join(io.EOF)))
	if err.Error() != "push.a: wrong\npush.EOF" || !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	if joined.Prefixed("push.", nil) != nil {
		t.Error("nothing wrong is an error")
	}
}
