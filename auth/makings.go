package auth

import (
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"weir/wire"
)

const (
	// makingsPerMinute is how many sessions and refresh families may be made of one credential, and how often one family
	// may be renewed; as many at once.
	makingsPerMinute = 20
	// maxSessions of one credential live at once in a process, signed-out ones included: the record of a sign-out is
	// kept as long as the session would have lived.
	maxSessions = 1000
	// maxFamilies of one credential live at once. The one that was begun first ends for the next: a device that begins
	// anew at each start is not locked out.
	maxFamilies = 100
)

// makings bound what one credential can have made of it, each of which takes a signature and room in weir.auth.
type makings struct {
	now func() time.Time

	mu sync.Mutex
	of map[string]*making
}

type making struct {
	level float64 // drains away with time
	at    time.Time
	ends  []time.Time // of sessions, in no order
}

// maker is what p's sessions are counted by.
func maker(tenant, keyID, subject string) string {
	if keyID != "" {
		return "key\x00" + keyID
	}
	return "subject\x00" + tenant + "\x00" + subject
}

// take counts one of who, and refuses it when there were too many. until, if not zero, is when a session ends.
// retryAfter is in seconds, as the header has it.
func (m *makings) take(who string, until time.Time) (retryAfter string, e *wire.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	one := m.of[who]
	if one == nil {
		one = new(making)
		m.of[who] = one
	}
	one.drain(now)
	if one.level > makingsPerMinute-1 {
		wait := (one.level - (makingsPerMinute - 1)) * 60 / makingsPerMinute
		return seconded(time.Duration(wait * float64(time.Second))), errTooManySessions("too many sessions were made or renewed with these credentials; try again in a moment")
	}
	if !until.IsZero() {
		if len(one.ends) >= maxSessions {
			return seconded(slices.MinFunc(one.ends, time.Time.Compare).Sub(now)), errTooManySessions("too many sessions of these credentials live")
		}
		one.ends = append(one.ends, until)
	}
	one.level++
	return "", nil
}

func (m *making) drain(now time.Time) {
	m.level, m.at = max(0, m.level-now.Sub(m.at).Minutes()*makingsPerMinute), now
	m.ends = slices.DeleteFunc(m.ends, func(t time.Time) bool { return !now.Before(t) })
}

// forget drops those that count for nothing any more.
func (m *makings) forget(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for who, one := range m.of {
		if one.drain(now); one.level == 0 && len(one.ends) == 0 {
			delete(m.of, who)
		}
	}
}

func seconded(d time.Duration) string { return strconv.Itoa(max(1, int(math.Ceil(d.Seconds())))) }

func errTooManySessions(message string) *wire.Error {
	return &wire.Error{Code: wire.CodeLimitPrincipal, Message: message}
}

// lineage are the refresh families of weir.auth by what they were made of.
type lineage struct {
	mu    sync.Mutex
	maker map[string]string               // by id
	begun map[string]map[string]time.Time // by maker and id
}

func newLineage() *lineage {
	return &lineage{maker: make(map[string]string), begun: make(map[string]map[string]time.Time)}
}

// apply follows weir.auth; nil is a family that has ended.
func (l *lineage) apply(id string, f *family) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if who, ok := l.maker[id]; ok {
		delete(l.maker, id)
		delete(l.begun[who], id)
		if len(l.begun[who]) == 0 {
			delete(l.begun, who)
		}
	}
	if f == nil {
		return
	}
	who := maker(f.Tenant, f.KeyID, f.Subject)
	if l.begun[who] == nil {
		l.begun[who] = make(map[string]time.Time)
	}
	l.maker[id], l.begun[who][id] = who, f.Created
}

// surplus are the families that end so that who can begin another.
func (l *lineage) surplus(who string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	begun := l.begun[who]
	if len(begun) < maxFamilies {
		return nil
	}
	ids := make([]string, 0, len(begun))
	for id := range begun {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return begun[a].Compare(begun[b]) })
	return ids[:len(ids)-maxFamilies+1]
}
