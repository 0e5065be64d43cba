package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestNoSecretIsPrinted(t *testing.T) {
	file := writeFile(t, `
auth:
  jwt:
    keys:
      - {kid: one, alg: HS256, secret: very-secret-very-secret-very-secret}
  oidc: {client_secret: also-secret}
  certificates:
    - {subject: "*.devices.example", roles: [device], write: ["plant/{name}/#"], rooms: [{rooms: ["plant/{name}"], may: [join]}]}
`)
	c, err := Load(Sources{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.Auth.JWT.Keys[0].Secret); got != "very-secret-very-secret-very-secret" {
		t.Fatalf("loaded %q", got)
	}
	if got := c.Auth.Certificates[0].Write[0]; got != "plant/{name}/#" {
		t.Fatalf("loaded %q", got)
	}
	if got := c.Auth.Certificates[0].Rooms; len(got) != 1 || got[0].Rooms[0] != "plant/{name}" || got[0].May[0] != "join" {
		t.Fatalf("loaded %+v", got)
	}
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(text), fmt.Sprintf("%v %+v %#v", c, c, c)} {
		if strings.Contains(shown, "very-secret") || strings.Contains(shown, "also-secret") {
			t.Errorf("a secret is shown:\n%s", shown)
		}
	}
	if n := strings.Count(string(text), "'***'"); n != 2 {
		t.Errorf("%d secrets are redacted:\n%s", n, text)
	}
}

func TestARedactedSecretIsNotTakenForOne(t *testing.T) {
	_, err := Load(Sources{File: writeFile(t, `auth: {oidc: {issuer: "https://id.example", client_id: a, client_secret: "***",
		redirect_url: "https://weir.example/v1/session/oidc/callback", roles_claim: roles}}`)})
	if err == nil || !strings.HasPrefix(err.Error(), "auth.oidc.client_secret: *** ") {
		t.Errorf("%v", err)
	}
}
