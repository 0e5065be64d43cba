package plan

import "testing"

func TestALookupIsOfTheDevicesThatItsPatternsSelect(t *testing.T) {
	p, err := Parse([]byte(`
enrich:
  - {match: "plant1/#", url: "https://a.example/of/{device}?x=1&d={device}"}
  - {match: [plant1/oven, plant2/oven], url: "http://b.example/{device}", prefix: b_, timeout: 1s, cache: 1m}
`))
	if err != nil {
		t.Fatal(err)
	}
	all := p.Lookups("plant1/oven")
	if len(all) != 2 || len(p.Lookups("plant1/press")) != 1 || len(p.Lookups("plant3/oven")) != 0 {
		t.Fatalf("%d lookups of the oven", len(all))
	}
	if l := all[0]; l.Timeout != defaultLookupTimeout || l.Cache != defaultLookupCache || l.Prefix != "" {
		t.Errorf("%+v", l)
	}
	if got, want := all[0].URL("plant1/a b?c&d#e"), "https://a.example/of/plant1%2Fa%20b%3Fc&d%23e?x=1&d=plant1%2Fa+b%3Fc%26d%23e"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if x := p.Explain("plant1/oven/t"); len(x.Lookups) != 2 {
		t.Errorf("explained: %v", x.Lookups)
	}
}
