package auth_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"weir/auth"
	"weir/telemetry"
)

// what a role lets its holder do in plant1, with patterns for all of it.
var rolesMay = map[string]struct{ read, speak bool }{
	"":                {},
	"stranger":        {},
	auth.RoleDevice:   {speak: true},
	auth.RoleViewer:   {read: true},
	auth.RoleOperator: {read: true},
	auth.RoleAdmin:    {read: true},
}

func TestReadingTakesAViewerAndSpeakingADevice(t *testing.T) {
	all := []telemetry.Pattern{auth.Everything}
	for role, may := range rolesMay {
		p := &auth.Principal{Tenant: "plant1", Roles: []string{role}, Read: all, Write: all}
		series, err := telemetry.ParsePattern("plant1/#")
		must(t, err)
		if p.MayRead(series) != may.read || p.MayReadPath("plant1/press7/temperature") != may.read {
			t.Errorf("%q may read: want %v", role, may.read)
		}
		if p.MaySpeakFor("plant1/press7") != may.speak {
			t.Errorf("%q may speak for a device: want %v", role, may.speak)
		}
		if !p.MayWrite("plant1/press7") || p.MayWrite("plant2/press7") || p.MaySpeakFor("plant2/press7") {
			t.Errorf("%q: patterns and tenant say where, whatever the role", role)
		}
	}
}

func TestNoRoleReachesBeyondPatternsAndTenant(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "c"})
	rapid.Check(t, func(t *rapid.T) {
		path := segment.Draw(t, "tenant of path") + "/" + segment.Draw(t, "rest")
		drawn := rapid.SampledFrom([]string{"#", "a/#", "b/c", "+/a"}).Draw(t, "pattern")
		pattern, err := telemetry.ParsePattern(drawn)
		if err != nil {
			t.Fatal(err)
		}
		p := &auth.Principal{
			Tenant: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "tenant"), Read: []telemetry.Pattern{pattern}, Write: []telemetry.Pattern{pattern},
			Roles: rapid.SliceOfDistinct(rapid.SampledFrom(auth.Roles()), rapid.ID[string]).Draw(t, "roles"),
		}
		where := pattern.Match(path) && (p.Tenant == "" || path[:1] == p.Tenant)
		reads := slices.ContainsFunc(p.Roles, func(r string) bool { return r != auth.RoleDevice })
		if p.MayReadPath(path) != (where && reads) || p.MaySpeakFor(path) != (where && slices.Contains(p.Roles, auth.RoleDevice)) {
			t.Fatalf("%s by %v of %q with %s", path, p.Roles, p.Tenant, drawn)
		}
	})
}
