package app

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lxzan/gws"
)

// A device connects with a token of Weir's own, or an API key, and goes away: TCP, the handshake, whose credentials
// they are, presence. The client's half is part of it.
func BenchmarkHandshake(b *testing.B) {
	for _, with := range []string{"token", "key"} {
		b.Run(with, func(b *testing.B) {
			s := startSecured(b)
			credential := s.tokens["device1"]
			if with == "key" {
				credential = s.tokens["admin"]
			}
			header := http.Header{"Authorization": {"Bearer " + credential}}
			address := strings.Replace(s.URL(), "http", "ws", 1) + "v1/ingest?device=t1/d1"
			b.ResetTimer()
			for range b.N {
				conn, _, err := gws.NewClient(new(gws.BuiltinEventHandler), &gws.ClientOption{Addr: address, RequestHeader: header})
				if err != nil {
					b.Fatal(err)
				}
				_ = conn.NetConn().Close()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
		})
	}
}
