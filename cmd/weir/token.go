package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"weir/auth"
)

type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token (JWT), by a server or with its signing key."`
	Revoke tokenRevokeCmd `cmd:"" help:"End a token, or all that a subject has, and the connections that use them."`
	Show   tokenShowCmd   `cmd:"" help:"Print what a token says."`
}

type tokenCreateCmd struct {
	Subject    string        `arg:"" help:"Who the token is for."`
	TTL        time.Duration `name:"ttl" default:"1h" help:"The token ends after so long."`
	SigningKey string        `type:"existingfile" placeholder:"FILE" help:"Make it with this signing key instead of asking a server."`
	rightsFlags
	outputFlags
	serverFlags
}

// Help is shown below the summary of the command.
func (tokenCreateCmd) Help() string {
	return `Examples:
  weir token create alice --role operator --read 'plant1/#' --write 'plant1/#' --ttl 8h
  weir token create wallboard --tenant plant1 -q
  weir token create ops --role admin --signing-key data/credentials/signing.key`
}

type tokenAnswer struct {
	Token   string    `json:"token"`
	ID      string    `json:"jti"`
	Subject string    `json:"sub"`
	Expires time.Time `json:"expires_at"`
}

func (c *tokenCreateCmd) Run(ctx context.Context, to streams) error {
	body, err := c.fields()
	if err != nil {
		return err
	}
	var t tokenAnswer
	if c.SigningKey != "" {
		t, err = c.offline(body)
	} else {
		body["sub"], body["ttl"] = c.Subject, c.TTL.String()
		err = c.call(ctx, "POST", "/v1/tokens", body, &t)
	}
	if err != nil {
		return err
	}
	return c.show(to.out, t, t.Token, [][2]string{
		{"token", t.Token}, {"jti", t.ID}, {"subject", t.Subject}, {"expires", moment(t.Expires)}})
}

func (c *tokenCreateCmd) offline(body map[string]any) (tokenAnswer, error) {
	if c.TTL <= 0 {
		return tokenAnswer{}, errors.New("--ttl: must be > 0")
	}
	signer, err := auth.ReadSigner(c.SigningKey)
	if err != nil {
		return tokenAnswer{}, err
	}
	now := time.Now()
	t := auth.Token{Subject: c.Subject, Tenant: c.Tenant, Expires: now.Add(c.TTL).Truncate(time.Second)}
	t.Roles, _ = body["roles"].([]string)
	t.Read, _ = body["read"].([]string)
	t.Write, _ = body["write"].([]string)
	t.Rooms, _ = body["rooms"].([]auth.RoomRights)
	t.Publish = c.Publish
	if err := t.Validate(); err != nil {
		return tokenAnswer{}, err
	}
	text, id, err := signer.Mint(t, now)
	return tokenAnswer{Token: text, ID: id, Subject: c.Subject, Expires: t.Expires}, err
}

type tokenRevokeCmd struct {
	Token   string `arg:"" name:"jti" optional:"" help:"The token, or its jti."`
	Subject string `placeholder:"NAME" help:"Revoke all that was issued to a subject until now."`
	Family  string `placeholder:"ID" help:"Revoke a family of refresh tokens."`
	Tenant  string `placeholder:"NAME" help:"Only of this tenant."`
	serverFlags
}

func (c *tokenRevokeCmd) Run(ctx context.Context, to streams) error {
	body := map[string]any{}
	for name, value := range map[string]string{"token": c.Token, "subject": c.Subject, "family": c.Family} {
		if value != "" {
			body[name] = value
		}
	}
	if len(body) != 1 {
		return errors.New("name one of: a token, --subject, --family")
	}
	if strings.Contains(c.Token, ".") {
		_, claims, err := decodeToken(c.Token)
		if err != nil {
			return err
		}
		id, _ := claims["jti"].(string)
		if id == "" {
			return errors.New("the token has no jti; revoke its subject instead")
		}
		body["token"] = id
	}
	if c.Tenant != "" {
		body["tenant"] = c.Tenant
	}
	var answer struct{ Kind, Value string }
	if err := c.call(ctx, "POST", "/v1/revocations", body, &answer); err != nil {
		return err
	}
	fmt.Fprintf(to.err, "%s %s is revoked\n", answer.Kind, answer.Value)
	return nil
}

type tokenShowCmd struct {
	Credential string `arg:"" optional:"" help:"Token to print (default: the one the other commands would use)."`
	Check      bool   `help:"Ask the server what it takes it for; needed for API keys, which say nothing by themselves."`
	serverFlags
}

func (c *tokenShowCmd) Run(ctx context.Context, to streams) error {
	credential := c.Credential
	if credential == "" {
		var err error
		if credential, err = c.serverFlags.Credential(c.URL); err != nil {
			return err
		}
	}
	switch {
	case credential == "":
		return hinted{errors.New("there is no token to show"), "name one, or set WEIR_TOKEN or --data"}
	case c.Check:
		var answer map[string]any
		if err := c.callAs(ctx, credential, "GET", "/v1/session", nil, &answer); err != nil {
			return err
		}
		return printJSON(to.out, answer)
	case strings.HasPrefix(credential, auth.KeyPrefix):
		return printJSON(to.out, map[string]any{"key": keyID(credential)})
	}
	header, claims, err := decodeToken(credential)
	if err != nil {
		return err
	}
	fmt.Fprintln(to.err, "what the token says; whether that is true, --check asks the server")
	return printJSON(to.out, map[string]any{"header": header, "claims": claims})
}

// decodeToken reads a token without verifying it.
func decodeToken(token string) (header, claims map[string]any, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, nil, errors.New("this is neither a token nor an API key")
	}
	for i, into := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(text, into)
		}
		if err != nil {
			return nil, nil, errors.New("this is no token: its parts are not JSON")
		}
	}
	return header, claims, nil
}
