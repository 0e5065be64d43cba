package nodes

import (
	"net/http"

	"weir/auth"
	"weir/wire"
)

// list is the answer to GET /v1/nodes.
type list struct {
	Nodes []*Node `json:"nodes"`
	// Partitions is the lag of all partitions, those included that no node reports.
	Partitions []PartitionLag `json:"partitions"`
}

// Routes registers GET /v1/nodes.
func (r *Registry) Routes(m *auth.Router) {
	m.HandleFunc("GET /v1/nodes", auth.Hosts, r.handleList)
}

func (r *Registry) handleList(w http.ResponseWriter, _ *http.Request) {
	out := list{Nodes: r.Nodes(), Partitions: make([]PartitionLag, 0, r.opts.Partitions)}
	for p := range r.opts.Partitions {
		if lag, known := r.Lag(p); known {
			out.Partitions = append(out.Partitions, lag)
		}
	}
	wire.WriteJSON(w, http.StatusOK, out)
}
