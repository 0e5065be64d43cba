package auth

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/wire"
)

// Outcomes of attempts, in metrics.
const (
	outcomeAccepted = "accepted"
	outcomeOther    = "other"
)

// meters count attempts by method and outcome. A series exists before its first attempt.
type meters struct {
	attempts map[[2]string]*metrics.Counter
}

func newMeters(set *metrics.Set, k *Keeper) *meters {
	m := &meters{attempts: make(map[[2]string]*metrics.Counter)}
	for _, method := range []string{MethodKey, MethodToken, MethodCookie, MethodCertificate, methodCode, methodRefresh, methodOIDC} {
		for _, outcome := range []string{
			outcomeAccepted, wire.CodeTokenInvalid, wire.CodeTokenExpired, wire.CodeTokenRevoked, wire.CodeForbidden,
			wire.CodeLimitAddress, outcomeOther,
		} {
			m.attempts[[2]string{method, outcome}] = set.GetOrCreateCounter(
				fmt.Sprintf(`weir_auth_attempts_total{method=%q,outcome=%q}`, method, outcome))
		}
	}
	set.GetOrCreateGauge("weir_auth_watches", func() float64 { return float64(k.watches.len()) })
	set.GetOrCreateGauge("weir_auth_keys", func() float64 { return float64(k.keys.len()) })
	set.GetOrCreateGauge("weir_auth_revocations", func() float64 { return float64(k.revoked.len()) })
	set.GetOrCreateGauge("weir_auth_jwks_age_seconds", func() float64 {
		var oldest time.Duration
		for _, set := range k.verifier.sets {
			oldest = max(oldest, set.age())
		}
		return oldest.Seconds()
	})
	return m
}

func (m *meters) attempt(method string, e *wire.Error) {
	outcome := outcomeAccepted
	if e != nil {
		outcome = e.Code
	}
	c, ok := m.attempts[[2]string{method, outcome}]
	if !ok {
		c = m.attempts[[2]string{method, outcomeOther}]
	}
	c.Inc()
}
