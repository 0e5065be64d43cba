package wire

import (
	"encoding/hex"
	"testing"
)

// fuzzFormat checks for any frame that a decoder keeps its promises, and that what it remembers of earlier frames
// changes nothing.
func fuzzFormat(f *testing.F, format Format, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	options := func(named bool) DecoderOptions {
		opts := testOptions()
		opts.MaxReadings = 64
		opts.Labels = func(_, metric string) map[string]float64 {
			if metric == "" {
				f.Fatal("labels of no metric")
			}
			return map[string]float64{"open": 1}
		}
		if opts.Tenant = "t"; named {
			opts.DefaultDevice = "t/gateway"
		}
		return opts
	}
	kept := map[bool]FrameDecoder{false: NewFrameDecoder(format, options(false)), true: NewFrameDecoder(format, options(true))}
	f.Fuzz(func(t *testing.T, frame []byte, named bool) {
		var first string
		for i, d := range []FrameDecoder{NewFrameDecoder(format, options(named)), kept[named], kept[named]} {
			got, err := d.Decode(frame)
			if err == nil {
				checkFrame(t, got, len(frame))
			} else if e := AsError(err); messageOf(e.Code) == e.Code || e.Message == "" || e.Code == CodeInternal {
				t.Fatalf("error %v is not in the table of codes", err)
			}
			s := summary(t, got, err)
			if i == 0 {
				first = s
			} else if s != first {
				t.Fatalf("decoded again: %s\nbefore: %s", s, first)
			}
			d.Release()
		}
	})
}

func influxSeeds() []string {
	return []string{
		"weather,host=a,sensor=b temperature=21.5,humidity=40i 1760000000000000000\nweather,host=a open=true",
		"m,host=a s=\"x\\\" ,\n\",v=1u # \n\n# c\nm v=-1e999,w=NaN,x=+1,y=007i,z=.5 -5", `my\ m\,x,t\=1=c\,d f\ \=1=1,g="open"`,
		"m,host=a/b//c+#/_x v=9007199254740993i", "m,a= v=1", "m,a=b,a=c v=", "rubbish", "\xff v=1", "m\\\n v=1",
	}
}

func senmlSeeds() []string {
	return []string{
		`[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},{"n":"current","t":-5,"v":1.2,"s":3}]`,
		`[{"n":"a/b","vs":"open"},{"n":"/3303/0/5700","vb":true},{"n":"x","vd":"aGkg","x_":1}]`, `[{"bv":1,"bs":2,"bn":"a:","n":"v","s":1e308,"t":1e300},{},5]`,
		`[{"bn":"a:","n":"v","v":9007199254740993},{"n":"v","v":NaN},{"n":5,"v":"x","t":null}]`, `[`, `{}`, `[{"v":1},{"u":"lon","v":1}]`,
	}
}

func cborSeeds() []string {
	var seeds []string
	for _, encoded := range []string{
		"81a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b00106223614120050067766f6c7461676501615602fb405e066666666666",
		"9fbf0063612f620205ffff", "81a20063612f6202c4822118f5", "82a20063612f6204f5a2008402021b0020000000000001", "81a30063612f62020562785f06", "8105", "a0", "81a2080041017f6161ff",
	} {
		b, err := hex.DecodeString(encoded)
		if err != nil {
			panic(err)
		}
		seeds = append(seeds, string(b))
	}
	return seeds
}

func columnsSeeds(f *testing.F) []string {
	readings := []sent{{"a", "m", serverTime, 1}, {"b/c", "n", 5, 2}, {"a", "m", -7, 3}}
	return []string{
		string(encoders["columns"].encode(f, readings)), string(AppendReadingBatch(nil, &frameOf(readings).Batches[0])),
		"\x50\x01\x0a\x01a", "\x4a\x02\x0a\x00\x12\x01s", "\x0a\x01a\x2a\x01m\x3a\x01\x00\x42\x08\x00\x00\x00\x00\x00\x00\xf8\x7f",
	}
}

func telegrafSeeds() []string {
	return []string{
		`{"fields":{"usage_idle":1.5,"value":2,"s":"open"},"name":"cpu","tags":{"cpu":"cpu0","host":"a"},"timestamp":1760000000}`,
		`{"metrics":[{"fields":{"v\n":null},"name":"m"},5,{}],"ts_unit":"ms","session":"s","seq":1}`, `[{"fields":{"v":1},"tags":{"device":5}}]`,
		`{"device":"d","readings":[{"metric":"m","value":"open","ts":1}],"ts_unit":"s","backlog":true}`,
	}
}

func FuzzSenMLJSON(f *testing.F) { fuzzFormat(f, FormatSenMLJSON, senmlSeeds()...) }
func FuzzSenMLCBOR(f *testing.F) { fuzzFormat(f, FormatSenMLCBOR, cborSeeds()...) }
func FuzzInflux(f *testing.F)    { fuzzFormat(f, FormatInflux, influxSeeds()...) }
func FuzzColumns(f *testing.F)   { fuzzFormat(f, FormatColumns, columnsSeeds(f)...) }
func FuzzTelegraf(f *testing.F)  { fuzzFormat(f, FormatJSON, telegrafSeeds()...) }

func FuzzAuto(f *testing.F) {
	seeds := append(influxSeeds(), senmlSeeds()...)
	seeds = append(append(append(seeds, cborSeeds()...), columnsSeeds(f)...), telegrafSeeds()...)
	fuzzFormat(f, FormatAuto, append(seeds, frameSeeds()...)...)
}
