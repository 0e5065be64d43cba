package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"weir/auth"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make an API key. It is shown once."`
	List   keyListCmd   `cmd:"" help:"List API keys, without their secrets."`
	Rotate keyRotateCmd `cmd:"" help:"Give a key a new secret; the old one stays valid for a while."`
	Revoke keyRevokeCmd `cmd:"" help:"End a key, and with it the connections that use it."`
}

// rightsFlags say what credentials give.
type rightsFlags struct {
	Role   []string `placeholder:"ROLE" help:"device, viewer, operator or admin; may be given several times (device with --device, else viewer)."`
	Read   []string `placeholder:"PATTERN" help:"Series it may see, such as plant1/#; may be given several times."`
	Write  []string `placeholder:"PATTERN" help:"Devices it may speak for (role device) or command (operator); may be given several times."`
	Device []string `placeholder:"PATH" help:"A device it speaks for: short for --role device --write PATH."`
	Tenant string   `placeholder:"NAME" help:"Confine it to paths that begin with this segment."`

	Join     []string `placeholder:"PATTERN" help:"Rooms it may join, such as plant1/#. With any of --join, --send and --moderate these decide about rooms, and the roles do not."`
	Send     []string `placeholder:"PATTERN" help:"Rooms and users it may send messages to."`
	SendType []string `placeholder:"TYPE" help:"Type of the messages it may send (all); may be given several times."`
	Moderate []string `placeholder:"PATTERN" help:"Rooms in which it may kick and ban."`
	Publish  bool     `help:"It may send messages as a program: POST /v1/publish."`
}

// rooms are what it gives in rooms; nil: what its roles do.
func (f *rightsFlags) rooms() (out []auth.RoomRights, _ error) {
	if len(f.SendType) > 0 && len(f.Send) == 0 {
		return nil, errors.New("--send-type: needs --send PATTERN")
	}
	for _, g := range []struct {
		may          string
		rooms, types []string
	}{{auth.RoomJoin, f.Join, nil}, {auth.RoomSend, f.Send, f.SendType}, {auth.RoomModerate, f.Moderate, nil}} {
		if len(g.rooms) > 0 {
			out = append(out, auth.RoomRights{Rooms: g.rooms, May: []string{g.may}, Types: g.types})
		}
	}
	return out, nil
}

// fields are those of a request. Nothing is given silently but to see everything, which is what a viewer is for.
func (f *rightsFlags) fields() (map[string]any, error) {
	roles, read, write := f.Role, f.Read, f.Write
	write = append(write, f.Device...)
	if len(roles) == 0 && len(f.Device) > 0 {
		roles = []string{"device"}
	}
	rooms, err := f.rooms()
	if err != nil {
		return nil, err
	}
	// Who is only to talk need not see anything.
	talks := (rooms != nil || f.Publish) && len(roles) == 0 && len(read) == 0
	if len(roles) == 0 && !talks {
		roles = []string{"viewer"}
	}
	if len(read) == 0 && len(write) == 0 && !talks {
		if roles[0] == "device" {
			return nil, errors.New("a device needs --device PATH, or --write PATTERN")
		}
		all := "#"
		if f.Tenant != "" {
			all = f.Tenant + "/#"
		}
		read = []string{all}
	}
	fields := map[string]any{"read": read, "write": write}
	if len(roles) > 0 {
		fields["roles"] = roles
	}
	if f.Tenant != "" {
		fields["tenant"] = f.Tenant
	}
	if rooms != nil {
		fields["rooms"] = rooms
	}
	if f.Publish {
		fields["publish"] = true
	}
	return fields, nil
}

// outputFlags say how a result is printed.
type outputFlags struct {
	JSON  bool `help:"Print the server's answer as JSON."`
	Quiet bool `short:"q" help:"Print the secret alone."`
}

// show prints one secret with what belongs to it.
func (o *outputFlags) show(out io.Writer, answer any, secret string, rows [][2]string) error {
	switch {
	case o.Quiet:
		_, err := fmt.Fprintln(out, secret)
		return err
	case o.JSON:
		return printJSON(out, answer)
	}
	return printRows(out, rows)
}

// printRows prints a table of names and values, leaving out what is empty.
func printRows(out io.Writer, rows [][2]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		if r[1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", r[0], r[1])
		}
	}
	return w.Flush()
}

func printJSON(out io.Writer, value any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// keyRows are a key for people.
func keyRows(k *auth.KeyView) [][2]string {
	return [][2]string{
		{"key", k.Key + "   (shown this once)"}, {"id", k.ID}, {"name", k.Name}, {"tenant", k.Tenant}, {"roles", strings.Join(k.Roles, ", ")},
		{"read", strings.Join(k.Read, ", ")}, {"write", strings.Join(k.Write, ", ")}, {"rooms", inRooms(k.Rooms)},
		{"publish", map[bool]string{true: "yes"}[k.Publish]}, {"expires", moment(k.Expires)},
	}
}

// inRooms tells people what may be done in rooms.
func inRooms(rights []auth.RoomRights) string {
	var out []string
	for _, r := range rights {
		text := strings.Join(r.May, "+") + " " + strings.Join(r.Rooms, " ")
		if len(r.Types) > 0 {
			text += " (" + strings.Join(r.Types, ", ") + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05 -07:00")
}

type keyCreateCmd struct {
	Name string        `placeholder:"TEXT" help:"What the key is for, for people."`
	TTL  time.Duration `name:"ttl" placeholder:"DURATION" help:"The key ends after so long, such as 8760h (never)."`
	rightsFlags
	outputFlags
	serverFlags
}

// Help is shown below the summary of the command.
func (keyCreateCmd) Help() string {
	return `Examples:
  weir key create --device plant1/press7 --name "press 7"
  weir key create --role viewer --read 'plant1/#' --ttl 720h
  weir key create --publish --tenant plant1 --name "shift planner"
  weir key create --read 'plant1/#' --join 'plant1/#' --send plant1/ops --send-type chat
  KEY=$(weir key create --device plant1/press7 -q)`
}

func (c *keyCreateCmd) Run(ctx context.Context, to streams) error {
	body, err := c.fields()
	if err != nil {
		return err
	}
	body["name"] = c.Name
	if c.TTL != 0 {
		body["ttl"] = c.TTL.String()
	}
	var k auth.KeyView
	if err := c.call(ctx, "POST", "/v1/keys", body, &k); err != nil {
		return err
	}
	return c.show(to.out, k, k.Key, keyRows(&k))
}

type keyListCmd struct {
	JSON bool `help:"Print the server's answer as JSON."`
	serverFlags
}

func (c *keyListCmd) Run(ctx context.Context, to streams) error {
	var answer struct {
		Keys []auth.KeyView `json:"keys"`
	}
	if err := c.call(ctx, "GET", "/v1/keys", nil, &answer); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(to.out, answer)
	}
	w := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tTENANT\tROLES\tREAD\tWRITE\tSTATE")
	for _, k := range answer.Keys {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, orDash(k.Name), orDash(k.Tenant), strings.Join(k.Roles, ","),
			orDash(strings.Join(k.Read, ",")), orDash(strings.Join(k.Write, ",")), keyState(&k, time.Now()))
	}
	return w.Flush()
}

// keyState is whether a key is valid, for people.
func keyState(k *auth.KeyView, now time.Time) string {
	switch {
	case !k.Revoked.IsZero():
		return "revoked " + moment(k.Revoked)
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return "expired " + moment(k.Expires)
	case len(k.Secrets) > 1:
		return fmt.Sprintf("valid, %d secrets", len(k.Secrets))
	case !k.Expires.IsZero():
		return "valid until " + moment(k.Expires)
	}
	return "valid"
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

type keyRotateCmd struct {
	ID      string        `arg:"" help:"The key's id, or the key."`
	Overlap time.Duration `default:"24h" help:"For how long the old secret stays valid; 0s: not at all."`
	outputFlags
	serverFlags
}

func (c *keyRotateCmd) Run(ctx context.Context, to streams) error {
	var k auth.KeyView
	path := "/v1/keys/" + url.PathEscape(keyID(c.ID)) + "/rotate"
	if err := c.call(ctx, "POST", path, map[string]any{"overlap": c.Overlap.String()}, &k); err != nil {
		return err
	}
	return c.show(to.out, k, k.Key, append(keyRows(&k), [2]string{"old secret", "valid for " + c.Overlap.String()}))
}

type keyRevokeCmd struct {
	ID string `arg:"" help:"The key's id, or the key."`
	serverFlags
}

func (c *keyRevokeCmd) Run(ctx context.Context, to streams) error {
	id := keyID(c.ID)
	if err := c.call(ctx, "DELETE", "/v1/keys/"+url.PathEscape(id), nil, nil); err != nil {
		return err
	}
	fmt.Fprintf(to.err, "%s is revoked\n", id)
	return nil
}

// keyID is the id in a key, or the id itself: whoever wants to end a key may have only the key at hand.
func keyID(text string) string {
	if rest, ok := strings.CutPrefix(text, auth.KeyPrefix); ok {
		id, _, _ := strings.Cut(rest, "_")
		return id
	}
	return text
}
