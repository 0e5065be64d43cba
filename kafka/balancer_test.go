package kafka

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func partitionList(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// settle runs generations until nothing is withheld, as members do: what is lost is stopped, then claimed
// no more. It returns how many partitions began anew at a member.
func settle(t *rapid.T, claims map[string]claim, partitions []int) (moved int) {
	for generation := int32(1); ; generation++ {
		if generation > 3 {
			t.Fatal("assignments do not settle")
		}
		next, withheld := make(map[string]claim), false
		owned := make(map[int]string)
		for member, list := range assign(claims, partitions) {
			for _, p := range list {
				if other, twice := owned[p]; twice {
					t.Fatalf("partition %d given to %s and %s", p, other, member)
				}
				owned[p] = member
				if !slices.Contains(claims[member].partitions, p) {
					moved++
				}
			}
			withheld = withheld || slices.ContainsFunc(claims[member].partitions, func(p int) bool { return !slices.Contains(list, p) })
			next[member] = claim{generation: generation, partitions: list}
		}
		clear(claims)
		for member, c := range next {
			claims[member] = c
		}
		if !withheld {
			if len(owned) != len(partitions) {
				t.Fatalf("%d of %d partitions owned", len(owned), len(partitions))
			}
			return moved
		}
	}
}

func TestAssignmentIsEvenAndMovesTheFewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		partitions := partitionList(rapid.IntRange(1, 40).Draw(t, "partitions"))
		claims := make(map[string]claim)
		for i := range rapid.IntRange(1, 6).Draw(t, "members") {
			claims[fmt.Sprint("m", i)] = claim{}
		}
		settle(t, claims, partitions)
		for change := range rapid.IntRange(1, 6).Draw(t, "changes") {
			before := len(claims)
			free := 0
			if before > 1 && rapid.Bool().Draw(t, "leave") {
				member := rapid.SampledFrom(sortedKeys(claims)).Draw(t, "leaver")
				free = len(claims[member].partitions)
				delete(claims, member)
			} else {
				claims[fmt.Sprintf("%d.%d", rapid.IntRange(0, 99).Draw(t, "newcomer"), change)] = claim{}
			}
			moved := settle(t, claims, partitions)
			least, most := len(partitions), 0
			for _, c := range claims {
				least, most = min(least, len(c.partitions)), max(most, len(c.partitions))
			}
			if most-least > 1 {
				t.Fatalf("between %d and %d partitions a member", least, most)
			}
			limit := free
			if len(claims) > before {
				limit = most
			}
			if moved > limit {
				t.Fatalf("%d partitions moved, %d suffice", moved, limit)
			}
		}
	})
}

func TestPartitionThatStillRunsIsGivenToNobody(t *testing.T) {
	got := assign(map[string]claim{"a": {generation: 4, partitions: []int{0, 1, 2, 3}}, "b": {}}, partitionList(4))
	if !slices.Equal(got["a"], []int{0, 1}) || len(got["b"]) != 0 {
		t.Fatalf("assigned %v", got)
	}
}

func TestNewerClaimWins(t *testing.T) {
	got := assign(map[string]claim{
		"back after a partition": {generation: 4, partitions: []int{0, 1}},
		"took over":              {generation: 6, partitions: []int{0, 1}},
	}, partitionList(2))
	if len(got["back after a partition"]) != 0 || !slices.Equal(got["took over"], []int{0}) {
		t.Fatalf("assigned %v", got)
	}
}

func TestClaimSurvivesEncoding(t *testing.T) {
	c := claim{generation: 9, partitions: []int{0, 7, 300}}
	if got := parseClaim(c.marshal()); got.generation != 9 || !slices.Equal(got.partitions, c.partitions) {
		t.Fatalf("got %+v", got)
	}
	for _, bad := range [][]byte{nil, {1}, {2, 0, 0, 0, 0}, {1, 0, 0, 0, 0, 1}} {
		if got := parseClaim(bad); len(got.partitions) != 0 || got.generation != 0 {
			t.Errorf("%v taken for %+v", bad, got)
		}
	}
}

func TestWhatWasTakenOverLastGoesBack(t *testing.T) {
	claims := map[string]claim{
		"a": {generation: 4, partitions: []int{0, 1, 2}}, "c": {generation: 4, partitions: []int{4, 5, 3}}, "b": {},
	}
	target := balance(claims, claimants(claims), partitionList(6))
	for member, want := range map[string][]int{"a": {0, 1}, "b": {2, 3}, "c": {4, 5}} {
		if got := slices.Sorted(slices.Values(target[member])); !slices.Equal(got, want) {
			t.Errorf("%s gets %v, want %v", member, got, want)
		}
	}
}
