package kafka

import (
	"cmp"
	"encoding/binary"
	"slices"

	kafkago "github.com/segmentio/kafka-go"
)

// balancerName is what members tell the coordinator; all of a group must use the same.
const balancerName = "weir-sticky"

// claim is what a member says it runs, in its user data.
type claim struct {
	generation int32 // the member's last: a newer claim wins
	partitions []int // those that it has run longest first
}

// balancer spreads a topic's partitions evenly, moves as few as it can, and hands a partition over in two
// steps, which makes the eager protocol cooperative: a partition that another member still runs is given to
// nobody, its runner stops it and joins again without claiming it, and then the new owner gets it.
type balancer struct {
	topic string
	claim func() claim
}

var _ kafkago.GroupBalancer = (*balancer)(nil)

func (b *balancer) ProtocolName() string { return balancerName }

func (b *balancer) UserData() ([]byte, error) { return b.claim().marshal(), nil }

// AssignGroups runs in the member that the coordinator made leader.
func (b *balancer) AssignGroups(members []kafkago.GroupMember, partitions []kafkago.Partition) kafkago.GroupMemberAssignments {
	claims := make(map[string]claim, len(members))
	for _, m := range members {
		claims[m.ID] = parseClaim(m.UserData)
	}
	var ids []int
	for _, p := range partitions {
		if p.Topic == b.topic {
			ids = append(ids, p.ID)
		}
	}
	out := make(kafkago.GroupMemberAssignments, len(members))
	for member, list := range assign(claims, ids) {
		out[member] = map[string][]int{b.topic: list}
	}
	return out
}

// assign gives every member its partitions; those on their way from one member to another are in no list.
func assign(claims map[string]claim, partitions []int) map[string][]int {
	owners := claimants(claims)
	target := balance(claims, owners, partitions)
	for member, list := range target {
		target[member] = slices.DeleteFunc(list, func(p int) bool {
			owner, claimed := owners[p]
			return claimed && owner != member
		})
	}
	return target
}

// claimants says who runs which partition: of several, the one with the newest claim.
func claimants(claims map[string]claim) map[int]string {
	owners := make(map[int]string)
	for _, member := range sortedKeys(claims) {
		c := claims[member]
		for _, p := range c.partitions {
			if owner, ok := owners[p]; !ok || claims[owner].generation < c.generation {
				owners[p] = member
			}
		}
	}
	return owners
}

// balance is where partitions are to end up: every member has n/m of them or one more, and keeps its own. Who has too many
// gives up those that it got last: what it took over from a member that left goes back when that returns.
func balance(claims map[string]claim, owners map[int]string, partitions []int) map[string][]int {
	members := sortedKeys(claims)
	target := make(map[string][]int, len(members))
	if len(members) == 0 {
		return target
	}
	for _, m := range members {
		target[m] = nil
		for _, p := range claims[m].partitions {
			if owners[p] == m && slices.Contains(partitions, p) {
				target[m] = append(target[m], p)
			}
		}
	}
	var pool []int
	for _, p := range slices.Sorted(slices.Values(partitions)) {
		if _, claimed := owners[p]; !claimed {
			pool = append(pool, p)
		}
	}
	quota, extra := len(partitions)/len(members), len(partitions)%len(members)
	// Those who have most keep the extra ones.
	slices.SortStableFunc(members, func(a, b string) int { return cmp.Compare(len(target[b]), len(target[a])) })
	limit := make(map[string]int, len(members))
	for i, m := range members {
		limit[m] = quota
		if i < extra {
			limit[m]++
		}
		if n := limit[m]; len(target[m]) > n {
			pool = append(pool, target[m][n:]...)
			target[m] = target[m][:n]
		}
	}
	for _, m := range members {
		n := min(limit[m]-len(target[m]), len(pool))
		target[m] = append(target[m], pool[:n]...)
		pool = pool[n:]
	}
	return target
}

func sortedKeys(m map[string]claim) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// claimVersion begins the user data: generation and partitions follow, 4 bytes each.
const claimVersion = 1

func (c claim) marshal() []byte {
	out := []byte{claimVersion}
	out = binary.BigEndian.AppendUint32(out, uint32(c.generation))
	for _, p := range c.partitions {
		out = binary.BigEndian.AppendUint32(out, uint32(p))
	}
	return out
}

// parseClaim takes what makes no sense for no claim.
func parseClaim(b []byte) claim {
	if len(b) < 5 || b[0] != claimVersion || len(b)%4 != 1 {
		return claim{}
	}
	c := claim{generation: int32(binary.BigEndian.Uint32(b[1:]))}
	for b = b[5:]; len(b) >= 4; b = b[4:] {
		c.partitions = append(c.partitions, int(int32(binary.BigEndian.Uint32(b))))
	}
	return c
}
