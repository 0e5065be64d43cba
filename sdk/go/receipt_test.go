package device

import (
	"testing"

	"weir/wire"
)

func TestOnlyWhatARefusalLeavesOpenIsSentAgain(t *testing.T) {
	rejected := []wire.Rejection{{Index: 1, Code: wire.CodeTimeFuture}}
	for name, c := range map[string]struct {
		receipt wire.Receipt
		again   bool
	}{
		"stored":                            {wire.Receipt{Accepted: 3}, false},
		"stored but for one":                {wire.Receipt{Accepted: 2, Rejected: rejected}, false},
		"stored, with a wish to wait":       {wire.Receipt{Accepted: 3, RetryAfter: 100}, false},
		"all rejected":                      {wire.Receipt{Rejected: rejected}, false},
		"not stored":                        {wire.Receipt{RetryAfter: 1000, Err: wire.NewError(wire.CodeNotStored, "")}, true},
		"not stored, one of it is bad":      {wire.Receipt{RetryAfter: 1000, Err: wire.NewError(wire.CodeNotStored, ""), Rejected: rejected}, true},
		"not stored, without a time":        {wire.Receipt{Err: wire.NewError(wire.CodeNotStored, "")}, true},
		"not understood":                    {wire.Receipt{Err: wire.NewError(wire.CodeFrameTooLarge, "")}, false},
		"nothing said but to come later":    {wire.Receipt{RetryAfter: 5}, true},
		"beyond a limit, one of it is bad ": {wire.Receipt{RetryAfter: 5, Err: wire.NewError(wire.CodeLagging, ""), Rejected: rejected}, true},
	} {
		if got := mayPass(&c.receipt); got != c.again {
			t.Errorf("%s: sent again %v, want %v", name, got, c.again)
		}
	}
}
