package main

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/auth"
	"weir/auth/authtest"
)

// keeping is a server's credentials, with its data directory.
type keeping struct {
	*auth.Keeper
	url, data string
}

func keepCredentials(t *testing.T) *keeping {
	t.Helper()
	k := &keeping{data: t.TempDir()}
	var err error
	if k.Keeper, err = auth.New(auth.Options{Config: auth.DefaultConfig(), Store: authtest.NewStore(), DataDir: k.data}); err != nil {
		t.Fatal(err)
	}
	router := auth.NewRouter(k, auth.OriginPolicy{})
	k.Routes(router)
	server := httptest.NewServer(router)
	t.Cleanup(server.Close)
	k.url = server.URL
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	<-k.Ready()
	return k
}

// weir runs a command against the server, with the local key.
func (k *keeping) weir(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return weir(t, append(args, "--url", k.url, "--data", k.data)...)
}

func (k *keeping) must(t *testing.T, args ...string) string {
	t.Helper()
	code, out, err := k.weir(t, args...)
	if code != exitOK {
		t.Fatalf("weir %v: %d\n%s%s", args, code, out, err)
	}
	return out
}

func (k *keeping) who(t *testing.T, credential string) *auth.Principal {
	t.Helper()
	p, err := k.Token(context.Background(), credential)
	if err != nil {
		t.Fatalf("%s: %v", credential, err)
	}
	return p
}

func TestAKeyIsMadeListedRotatedAndRevoked(t *testing.T) {
	k := keepCredentials(t)
	quiet := k.must(t, "key", "create", "--device", "plant1/press7", "--name", "press 7", "-q")
	key := strings.TrimSuffix(quiet, "\n")
	p := k.who(t, key)
	if strings.ContainsAny(key, " \n") || !p.MaySpeakFor("plant1/press7") || p.MaySpeakFor("plant1/press8") || len(p.Read) > 0 || p.Has(auth.RoleViewer) {
		t.Errorf("%q: %+v", quiet, p)
	}
	table := k.must(t, "key", "list")
	if !strings.Contains(table, p.KeyID) || !strings.Contains(table, "press 7") || strings.Contains(table, key) {
		t.Errorf("%s", table)
	}
	var rotated auth.KeyView
	if err := json.Unmarshal([]byte(k.must(t, "key", "rotate", p.KeyID, "--overlap", "1h", "--json")), &rotated); err != nil {
		t.Fatal(err)
	}
	if until := k.who(t, key).Expires; time.Until(until) > time.Hour || k.who(t, rotated.Key).KeyID != p.KeyID {
		t.Errorf("the old one ends %s", until)
	}
	k.must(t, "key", "revoke", rotated.Key)
	if _, err := k.Token(context.Background(), key); err == nil {
		t.Error("still valid")
	}
	if table := k.must(t, "key", "list"); !strings.Contains(table, "revoked 2") {
		t.Errorf("%s", table)
	}
	text := k.must(t, "key", "create", "--role", "viewer", "--tenant", "acme", "--ttl", "48h")
	for _, want := range []string{"weir_", "shown this once", "acme/#", "viewer", "expires"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
}

func TestATokenIsMadeShownAndRevoked(t *testing.T) {
	k := keepCredentials(t)
	token := strings.TrimSpace(k.must(t, "token", "create", "alice", "--role", "operator", "--read", "plant1/#", "--ttl", "8h", "-q"))
	if p := k.who(t, token); p.Subject != "alice" || !p.Has(auth.RoleOperator) || !p.MayReadPath("plant1/a/b") {
		t.Errorf("%+v", p)
	}
	if shown := k.must(t, "token", "show", token); !strings.Contains(shown, `"sub": "alice"`) || strings.Contains(shown, token) {
		t.Errorf("%s", shown)
	}
	if shown := k.must(t, "token", "show", "--check", token); !strings.Contains(shown, `"method": "token"`) {
		t.Errorf("%s", shown)
	}
	if shown := k.must(t, "token", "show"); !strings.Contains(shown, `"key": `) || strings.Count(shown, "_") != 0 {
		t.Errorf("the local key is not shown as its id: %s", shown)
	}
	k.must(t, "token", "revoke", token)
	if _, err := k.Token(context.Background(), token); err == nil || auth.Refusal(err).Code != "token_revoked" {
		t.Errorf("%v", err)
	}
	offline := strings.TrimSpace(k.must(t, "token", "create", "bob", "--role", "admin", "--signing-key", filepath.Join(k.data, "credentials", "signing.key"), "-q"))
	if p := k.who(t, offline); !p.Has(auth.RoleAdmin) || !p.MayReadPath("a/b") {
		t.Errorf("%+v", p)
	}
	k.must(t, "token", "revoke", "--subject", "bob")
	if _, err := k.Token(context.Background(), offline); err == nil {
		t.Error("still valid")
	}
}

func TestMistakesWithCredentialsAreTold(t *testing.T) {
	k := keepCredentials(t)
	nobody := "http://" + closedPort(t)
	signing := filepath.Join(k.data, "credentials", "signing.key")
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"no server":      {[]string{"key", "list", "--url", nobody}, exitFailed, []string{"does not answer", "weir serve"}},
		"no credentials": {[]string{"key", "list", "--url", k.url, "--data", t.TempDir()}, exitFailed, []string{"unauthenticated", "WEIR_TOKEN"}},
		"wrong token":    {[]string{"key", "list", "--url", k.url, "--token", "weir_a_b"}, exitFailed, []string{"token_invalid"}},
		"no URL":         {[]string{"key", "list", "--url", "here"}, exitFailed, []string{"--url", "http://host:port"}},
		"no device":      {[]string{"key", "create", "--role", "device"}, exitFailed, []string{"--device PATH"}},
		"odd role":       {[]string{"key", "create", "--role", "king", "--url", k.url, "--data", k.data}, exitFailed, []string{"field_range at roles[0]", "operator"}},
		"odd role, offline": {[]string{"token", "create", "x", "--role", "king", "--signing-key", signing}, exitFailed,
			[]string{`roles[0]: "king" is none of`}},
		"no such key":   {[]string{"key", "revoke", "abc", "--url", k.url, "--data", k.data}, exitFailed, []string{"key_unknown"}},
		"two things":    {[]string{"token", "revoke", "a", "--subject", "b"}, exitFailed, []string{"name one of"}},
		"not a token":   {[]string{"token", "show", "hello"}, exitFailed, []string{"neither a token nor an API key"}},
		"broken token":  {[]string{"token", "show", "a.b.c"}, exitFailed, []string{"not JSON"}},
		"unknown flag":  {[]string{"key", "create", "--naem", "x"}, exitUsage, []string{"--naem", "weir key create --help"}},
		"no id":         {[]string{"key", "rotate"}, exitUsage, []string{"<id>"}},
		"another Weir?": {[]string{"key", "list", "--url", k.url + "/nowhere", "--data", k.data}, exitFailed, []string{"not_found"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, err := weir(t, c.args...)
			if code != c.code || out != "" {
				t.Errorf("%d, %q", code, out)
			}
			for _, want := range c.want {
				if !strings.Contains(err, want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			if strings.Contains(err, "weir_a_b") {
				t.Errorf("the token is shown: %s", err)
			}
		})
	}
}

func TestTheLocalKeyIsOnlySentToThisMachine(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "credentials"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(auth.LocalKeyFile(dir), []byte("weir_local_key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"http://127.0.0.1:7420": "weir_local_key", "ws://localhost:7420/v1/live": "weir_local_key", "https://[::1]:7420": "weir_local_key",
		"http://192.168.1.5:7420": "", "http://localhost.evil.example": "", "http://weir.example": "", "::": "",
	} {
		got, err := (&credentialFlags{Data: dir}).Credential(url)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v", url, got, err)
		}
		if got, _ := (&credentialFlags{Data: dir, Token: " given\n"}).Credential(url); got != "given" {
			t.Errorf("%s: %q instead of what was given", url, got)
		}
	}
}

func TestAKeyForRoomsGivesThatAndNothingElse(t *testing.T) {
	k := keepCredentials(t)
	make := func(args ...string) *auth.Principal {
		t.Helper()
		return k.who(t, strings.TrimSpace(k.must(t, append([]string{"key", "create", "-q"}, args...)...)))
	}
	guest := make("--join", "plant1/#", "--send", "plant1/ops", "--send-type", "chat")
	if !guest.MayInRoom(auth.RoomJoin, "plant1/a") || guest.MayInRoom(auth.RoomModerate, "plant1/a") || !guest.MaySendType("plant1/ops", "chat") ||
		guest.MaySendType("plant1/ops", "alarm") || guest.MaySendType("plant1/a", "chat") || len(guest.Roles)+len(guest.Read) > 0 {
		t.Errorf("%+v", guest)
	}
	service := make("--publish", "--tenant", "plant1")
	if !service.MayPublish() || service.Rooms != nil || len(service.Roles)+len(service.Read) > 0 {
		t.Errorf("%+v", service)
	}
	if viewer := make("--read", "plant1/#", "--moderate", "plant1/#"); !viewer.Has(auth.RoleViewer) || !viewer.MayInRoom(auth.RoomModerate, "plant1/a") {
		t.Errorf("%+v", viewer)
	}
	if shown := k.must(t, "key", "create", "--join", "plant1/#"); !strings.Contains(shown, "join plant1/#") {
		t.Errorf("%s", shown)
	}
	if code, _, stderr := k.weir(t, "key", "create", "--send-type", "chat"); code == exitOK || !strings.Contains(stderr, "--send") {
		t.Errorf("%d %s", code, stderr)
	}
}
