package wire

import (
	"fmt"
	"testing"
)

// benchFrames are 100 readings as devices send them: of one device with four sensors, or, for Telegraf and the line
// protocol, of ten CPUs with ten fields each.
func benchFrames(b *testing.B) map[string]struct {
	format Format
	frame  []byte
} {
	metrics := []string{"temperature", "pressure", "vibration", "current"}
	var readings []sent
	var line, wide, telegraf, senml []byte
	senml = append(senml, `[{"bn":"plant1/line3/press7:","bt":1760000000},`...)
	for i := range 100 {
		r := sent{"plant1/line3/press7", metrics[i%4], serverTime + int64(i)*10_000, 20 + float64(i)*0.37}
		readings = append(readings, r)
		line = fmt.Appendf(line, "%s,host=plant1/line3/press7 value=%.2f %d\n", r.metric, r.value, r.time*1000)
		senml = fmt.Appendf(senml, `{"n":"%s","t":%.2f,"v":%.2f},`, r.metric, float64(i)/100, r.value)
	}
	telegraf = append(telegraf, `{"metrics":[`...)
	for cpu := range 10 {
		wide = fmt.Appendf(wide, "cpu,cpu=cpu%d,host=web-1", cpu)
		telegraf = append(telegraf, `{"fields":{`...)
		for f := range 10 {
			wide = fmt.Appendf(wide, "%cusage_%d=%.2f", " ,"[min(f, 1)], f, 3.7*float64(f))
			telegraf = fmt.Appendf(telegraf, `"usage_%d":%.2f,`, f, 3.7*float64(f))
		}
		wide = fmt.Appendf(wide, " %d\n", int64(serverTime*1000))
		telegraf = telegraf[:len(telegraf)-1]
		telegraf = fmt.Appendf(telegraf, `},"name":"cpu","tags":{"cpu":"cpu%d","host":"web-1"},"timestamp":1760000000},`, cpu)
	}
	columns := AppendReadingBatch(nil, &frameOf(readings).Batches[0])
	return map[string]struct {
		format Format
		frame  []byte
	}{
		"json":        {FormatJSON, envelope(100)},
		"telegraf":    {FormatJSON, append(telegraf[:len(telegraf)-1], "]}"...)},
		"senml+json":  {FormatSenMLJSON, append(senml[:len(senml)-1], ']')},
		"senml+cbor":  {FormatSenMLCBOR, encoders["senml+cbor"].encode(b, readings)},
		"influx":      {FormatInflux, line},
		"influx-wide": {FormatInflux, wide},
		"columns":     {FormatColumns, columns},
		"auto-json":   {FormatAuto, envelope(100)},
	}
}

func BenchmarkFormats(b *testing.B) {
	frames := benchFrames(b)
	for _, name := range []string{"json", "telegraf", "senml+json", "senml+cbor", "influx", "influx-wide", "columns", "auto-json"} {
		b.Run(name, func(b *testing.B) {
			opts := testOptions()
			opts.Now = nil
			d, frame := NewFrameDecoder(frames[name].format, opts), frames[name].frame
			readings := 0
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				f, err := d.Decode(frame)
				if err != nil || len(f.Rejected) > 0 || f.Total != 100 {
					b.Fatal(err, f)
				}
				readings += f.Total
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(readings), "ns/reading")
		})
	}
}
