package kafka

import (
	"testing"
)

func benchRecords(n, size int) []Record {
	recs := make([]Record, n)
	for i := range recs {
		recs[i] = Record{Time: 1700000000000 + int64(i), Key: []byte("plant1/line3/press7"), Value: make([]byte, size)}
	}
	return recs
}

func BenchmarkBatchEncode(b *testing.B) {
	recs := benchRecords(1000, 100)
	var batch recordBatch
	b.ReportAllocs()
	for b.Loop() {
		batch.reset()
		for i := range recs {
			batch.add(&recs[i], 0)
		}
		b.SetBytes(int64(len(batch.seal(sequence{}))))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(recs)), "ns/record")
}

func BenchmarkBatchDecode(b *testing.B) {
	for _, bench := range []struct {
		name    string
		headers []Header
	}{{"plain", nil}, {"fenced", FenceHeaders(7)}} {
		b.Run(bench.name, func(b *testing.B) {
			recs := benchRecords(1000, 100)
			for i := range recs {
				recs[i].Headers = bench.headers
			}
			raw := sealed(recs, sequence{})[batchPrefix:]
			var d recordDecoder
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if got, _, err := d.decode(raw, 0); err != nil || len(got) != len(recs) {
					b.Fatal(len(got), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(recs)), "ns/record")
		})
	}
}
