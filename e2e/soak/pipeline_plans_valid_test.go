//go:build soak

package soak

import (
	"testing"

	"weir/pipeline/plan"
)

func TestPlansOfTheStreamAreValid(t *testing.T) {
	for i, text := range streamPlans {
		if _, err := plan.Parse([]byte(text)); err != nil {
			t.Errorf("plan %d: %v", i, err)
		}
	}
}
