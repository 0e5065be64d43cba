package push

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/VictoriaMetrics/metrics"
)

// maxShares is how many accounts GET /v1/connections tells of.
const maxShares = 20

// holding is what one account takes up.
type holding struct {
	Subject string `json:"subject,omitempty"`
	Tenant  string `json:"tenant,omitempty"`
	// Address is a network, of a server that asks for no credentials.
	Address string `json:"address,omitempty"`
	// Connections of any kind; Waiting are requests that wait for news, which count as connections.
	Connections int `json:"connections"`
	Waiting     int `json:"waiting"`
	// Views are what its subscriptions come to, and ViewRows their series.
	Views    int `json:"views"`
	ViewRows int `json:"view_rows"`
}

// parts are what a holding is of the bounds, in the order of shareKinds; 1: it is all that the account may have.
func (s *holding) parts(limits connLimits, b bounds) [3]float64 {
	part := func(n, of int) float64 { return float64(n) / float64(of) }
	return [3]float64{
		part(s.Connections+s.Waiting, limits.principal), part(s.Views, b.accountViews), part(s.ViewRows, b.accountRows),
	}
}

var shareKinds = [3]string{"connections", "views", "view_rows"}

// shares are those of all accounts of a tenant, "" being all of them.
func (s *Server) shares(tenant string) []holding {
	s.conns.mu.Lock()
	accounts := make([]*account, 0, len(s.conns.accounts))
	out := make([]holding, 0, len(s.conns.accounts))
	for key, a := range s.conns.accounts {
		if tenant != "" && key.tenant != tenant {
			continue
		}
		one := holding{Subject: key.subject, Tenant: key.tenant, Connections: a.connections, Waiting: a.requests}
		if key.address.IsValid() {
			one.Address = key.address.String()
		}
		accounts, out = append(accounts, a), append(out, one)
	}
	s.conns.mu.Unlock()
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	for i, a := range accounts {
		out[i].Views, out[i].ViewRows = len(a.uses), a.rowsLocked()
	}
	return out
}

// largestShares are those that come nearest to a bound, the nearest first.
func (s *Server) largestShares(tenant string) []holding {
	all := s.shares(tenant)
	nearest := func(one *holding) float64 {
		parts := one.parts(s.conns.limits, s.hub.bounds)
		return slices.Max(parts[:])
	}
	slices.SortFunc(all, func(a, b holding) int {
		return cmp.Or(cmp.Compare(nearest(&b), nearest(&a)), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Address, b.Address))
	})
	return all[:min(len(all), maxShares)]
}

// shareGauges tell how near the nearest account is to each bound.
func (s *Server) shareGauges(set *metrics.Set) {
	set.RegisterMetricsWriter(func(w io.Writer) {
		var largest [len(shareKinds)]float64
		for _, one := range s.shares("") {
			for kind, part := range one.parts(s.conns.limits, s.hub.bounds) {
				largest[kind] = max(largest[kind], part)
			}
		}
		for kind, name := range shareKinds {
			metrics.WriteGaugeFloat64(w, fmt.Sprintf("weir_push_largest_share{of=%q}", name), largest[kind])
		}
	})
	set.GetOrCreateGauge("weir_push_waiting_requests", func() float64 {
		s.conns.mu.Lock()
		defer s.conns.mu.Unlock()
		return float64(s.conns.visits)
	})
}
