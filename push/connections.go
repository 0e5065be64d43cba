package push

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"weir/auth"
	"weir/wire"
)

const (
	defaultConnections = 100
	maxConnections     = 1000
)

// connection is a live connection as GET /v1/connections tells of it.
type connection struct {
	Session string    `json:"session"`
	Subject string    `json:"subject"`
	Tenant  string    `json:"tenant,omitempty"`
	Address string    `json:"address"`
	Since   time.Time `json:"since"`
	// Protocol is a subprotocol, or "events"; Compressed is permessage-deflate.
	Protocol   string `json:"protocol"`
	Compressed bool   `json:"compressed,omitempty"`
	// RTTMS is how long the newest ping took to be answered; nil: none was.
	RTTMS *float64 `json:"rtt_ms"`
	// LosslessBytes wait in the lossless lane, snapshots not counted.
	LosslessBytes int `json:"lossless_bytes"`
	// Credit is nil if the client takes all there is.
	Credit        *creditReport            `json:"credit,omitempty"`
	Subscriptions []wire.SubscriptionStats `json:"subscriptions"`
}

type creditReport struct {
	Granted int64 `json:"granted"`
	Sent    int64 `json:"sent"`
}

// connectionPage is the answer of GET /v1/connections, by session.
type connectionPage struct {
	Connections []connection `json:"connections"`
	// Cursor asks for the connections after these; absent: there are none.
	Cursor string `json:"cursor,omitempty"`
	// Shares are what principals take up, those that come nearest to what they may; on each page the same.
	Shares []holding `json:"shares"`
}

// listConnections answers GET /v1/connections[?limit=N][&cursor=…] with the connections of the asker's tenant to this
// instance, once it is known who speaks.
func (s *Server) listConnections(w http.ResponseWriter, r *http.Request) {
	limit, after, refusal := parseConnections(r.URL.Query())
	if refusal != nil {
		wire.Refuse(w, refusal)
		return
	}
	tenant := auth.PrincipalOf(r.Context()).Tenant
	var clients []*client
	for _, c := range s.conns.list() {
		if c.session > after && c.isOf(tenant) {
			clients = append(clients, c)
		}
	}
	slices.SortFunc(clients, func(a, b *client) int { return cmp.Compare(a.session, b.session) })
	out := connectionPage{Connections: []connection{}, Shares: s.largestShares(tenant)}
	if len(clients) > limit {
		clients = clients[:limit]
		out.Cursor = clients[limit-1].session
	}
	for _, c := range clients {
		out.Connections = append(out.Connections, s.hub.connection(c))
	}
	wire.WriteJSON(w, http.StatusOK, out)
}

func parseConnections(query url.Values) (limit int, after string, refusal *wire.Error) {
	limit = defaultConnections
	for name, texts := range query {
		switch name {
		case "limit":
			n, err := strconv.Atoi(texts[0])
			if err != nil || n < 1 || n > maxConnections {
				return 0, "", &wire.Error{Code: wire.CodeFieldRange, Path: name, Message: "limit is between 1 and " + strconv.Itoa(maxConnections)}
			}
			limit = n
		case "cursor":
			after = texts[0]
		case "access_token": // is the gate's
		default:
			return 0, "", &wire.Error{Code: wire.CodeFieldUnknown, Path: name, Message: "the parameters are limit and cursor"}
		}
	}
	return limit, after, nil
}

// isOf reports whether who speaks is of a tenant, "" being all of them.
func (c *client) isOf(tenant string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.who != nil && (tenant == "" || c.who.Tenant == tenant)
}

// connection tells of a connection of which it is known who speaks.
func (h *hub) connection(c *client) connection {
	stats := h.figures(c)
	out := connection{Session: c.session, Address: c.from.String(), Since: c.since, Subscriptions: stats.Subscriptions}
	out.Protocol, out.Compressed = c.encoding.protocol(), c.encoding.deflates()
	if c.encoding == asEvents {
		out.Protocol = "events"
	}
	if stats.Subscriptions == nil {
		out.Subscriptions = []wire.SubscriptionStats{}
	}
	if c.rtt.Load() > 0 {
		out.RTTMS = &stats.RTTMS
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out.Subject, out.Tenant, out.LosslessBytes = c.who.Subject, c.who.Tenant, c.lane.bytes
	if c.credit.asked {
		out.Credit = &creditReport{c.credit.granted, c.credit.sent}
	}
	return out
}
