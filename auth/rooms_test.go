package auth_test

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"

	"weir/auth"
)

// talking are rights in rooms: everybody of plant1 may read, and chat in one room.
var talking = []object{
	{"rooms": []string{"plant1/#"}, "may": []string{"join"}},
	{"rooms": []string{"plant1/ops"}, "may": []string{"send", "moderate"}, "types": []string{"chat", "typing"}},
}

func TestGrantsDecideAboutRoomsInsteadOfRoles(t *testing.T) {
	w := open(t, issuer(t)).run()
	hs := func(change object) *auth.Principal {
		t.Helper()
		p, err := w.Token(context.Background(), sign(t, "HS256", "HS256", []byte(sharedSecret), change))
		must(t, err)
		return p
	}
	admin := object{"roles": []string{"admin"}}
	granted := hs(object{"roles": []string{"admin"}, "rooms": talking, "tenant": "plant1"})
	device := hs(object{"roles": []string{"device"}, "rooms": talking})
	nothing := hs(object{"roles": []string{"admin"}, "rooms": []object{}})
	service := hs(object{"roles": nil, "publish": true, "tenant": "plant1"})
	viewer := hs(nil)
	for name, c := range map[string]struct {
		got, want bool
	}{
		"a role joins":                {viewer.MayInRoom(auth.RoomJoin, "plant1/a"), true},
		"a viewer sends nothing":      {viewer.MayInRoom(auth.RoomSend, "plant1/a"), false},
		"an admin moderates":          {hs(admin).MayInRoom(auth.RoomModerate, "plant1/a"), true},
		"a grant joins":               {device.MayInRoom(auth.RoomJoin, "plant1/a"), true},
		"not elsewhere":               {device.MayInRoom(auth.RoomJoin, "plant2/a"), false},
		"not what it does not say":    {granted.MayInRoom(auth.RoomSend, "plant1/a"), false},
		"what it says":                {granted.MayInRoom(auth.RoomModerate, "plant1/ops"), true},
		"its types":                   {granted.MaySendType("plant1/ops", "chat"), true},
		"no others":                   {granted.MaySendType("plant1/ops", "alarm"), false},
		"any without types":           {service.MaySendType("plant1/ops", "alarm"), true},
		"a service publishes":         {service.MayPublish() && service.MayInRoom(auth.RoomSend, "plant1/ops"), true},
		"within its tenant":           {service.MayInRoom(auth.RoomSend, "plant2/ops"), false},
		"and sees nothing":            {service.MayInRoom(auth.RoomJoin, "plant1/ops"), false},
		"an empty list gives nothing": {nothing.MayInRoom(auth.RoomJoin, "plant1/a") || nothing.MayJoinRooms(), false},
		"a publisher is none by role": {viewer.MayPublish(), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", name, c.got)
		}
	}
}

func TestBrokenClaimsAboutRoomsAreRefusedWithTheirPath(t *testing.T) {
	w := open(t, issuer(t)).run()
	long := make([]object, 33)
	for want, claim := range map[string]any{
		"rooms[1].rooms[0]": []object{talking[0], {"rooms": []string{"a//b"}, "may": []string{"join"}}},
		"rooms[0].may[1]":   []object{{"rooms": []string{"a"}, "may": []string{"join", "shout"}}},
		"rooms[0].types[0]": []object{{"rooms": []string{"a"}, "may": []string{"send"}, "types": []string{""}}},
		"rooms":             long,
		"rooms.may":         []object{{"rooms": []string{"a"}, "may": "join"}},
	} {
		_, err := w.Token(context.Background(), sign(t, "HS256", "HS256", []byte(sharedSecret), object{"rooms": claim}))
		if e := auth.Refusal(err); e == nil || e.Code != "token_invalid" || e.Path != want {
			t.Errorf("%v: %+v, want %s", claim, e, want)
		}
	}
}

// TestRightsInRoomsAreKept goes through all that is made of credentials.
func TestRightsInRoomsAreKept(t *testing.T) {
	w := open(t, nil).run()
	root := w.operator()
	for name, rooms := range map[string][]object{"some": talking, "none": {}} {
		rights := object{"roles": []string{"operator"}, "tenant": "plant1", "read": []string{"#"}, "rooms": rooms, "publish": true}
		id, key := w.key(root, rights)
		signed := w.token(root, object{"sub": "bob", "roles": rights["roles"], "tenant": "plant1", "rooms": rooms, "publish": true})
		want := w.principal(key).Rooms
		if want == nil || len(want) != len(rooms) {
			t.Fatalf("%s: a key has %+v", name, want)
		}
		grant := w.ask("POST", "/v1/session", "", object{"token": key, "refresh": true})
		again := w.ask("POST", "/v1/session/refresh", "", object{"refresh_token": grant.text("refresh_token")})
		rotated := w.ask("POST", "/v1/keys/"+id+"/rotate", root, object{})
		for what, credential := range map[string]string{
			"token": signed, "session": grant.text("access_token"), "renewed": again.text("access_token"), "rotated": rotated.text("key"),
		} {
			p := w.principal(credential)
			if !reflect.DeepEqual(p.Rooms, want) || !p.Publish {
				t.Errorf("%s, %s: %+v, publish %v", name, what, p.Rooms, p.Publish)
			}
			var told struct {
				Rooms   []auth.RoomRights
				Publish bool
			}
			must(t, json.Unmarshal([]byte(w.ask("GET", "/v1/session", credential, nil).raw), &told))
			if told.Rooms == nil || len(told.Rooms) != len(rooms) || !told.Publish {
				t.Errorf("%s, %s is told as %+v", name, what, told)
			}
		}
	}
}

func (w *world) principal(credential string) *auth.Principal {
	w.t.Helper()
	p, err := w.Token(context.Background(), credential)
	if err != nil {
		w.t.Fatalf("%.20s: %v", credential, err)
	}
	return p
}

func TestAKeyRecordOfAnEarlierVersionIsReadAndOneOfThisIsReadByIt(t *testing.T) {
	w := open(t, nil).run()
	id, key := w.key(w.operator(), object{"roles": []string{"viewer"}, "read": []string{"a/#"}})
	value, _ := w.store.Get("key/" + id)
	var fields map[string]any
	must(t, json.Unmarshal(value, &fields))
	for _, name := range []string{"rooms", "publish"} { // a key without them is written as it always was
		if _, ok := fields[name]; ok {
			t.Errorf("%s: %s", name, value)
		}
	}
	if p := w.principal(key); p.Rooms != nil || p.Publish {
		t.Errorf("%+v", p)
	}
}

func TestAnAdminGivesNoMoreInRoomsThanItHas(t *testing.T) {
	w := open(t, nil).run()
	root := w.operator()
	chief := w.token(root, object{"sub": "chief", "tenant": "plant1", "roles": []string{"admin"}, "read": []string{"#"}, "rooms": talking})
	grant := func(rooms []string, may string, types ...string) object {
		return object{"name": "k", "rooms": []object{{"rooms": rooms, "may": []string{may}, "types": types}}}
	}
	for name, c := range map[string]struct {
		body object
		code string
	}{
		"its own":         {grant([]string{"plant1/ops"}, "send", "chat"), ""},
		"joins":           {grant([]string{"plant1/a", "plant1/b/#"}, "join"), ""},
		"by its roles":    {object{"roles": []string{"viewer"}, "read": []string{"plant1/#"}}, "forbidden rooms"},
		"another room":    {grant([]string{"plant1/ops", "plant1/a"}, "send", "chat"), "forbidden rooms[0].rooms[1]"},
		"another right":   {grant([]string{"plant1/a"}, "moderate"), "forbidden rooms[0].rooms[0]"},
		"another type":    {grant([]string{"plant1/ops"}, "send", "chat", "alarm"), "forbidden rooms[0].rooms[0]"},
		"all types":       {grant([]string{"plant1/ops"}, "send"), "forbidden rooms[0].rooms[0]"},
		"no room":         {grant(nil, "join"), "field_missing rooms[0].rooms"},
		"no right":        {object{"rooms": []object{{"rooms": []string{"plant1/a"}}}}, "field_missing rooms[0].may"},
		"an unknown one":  {grant([]string{"plant1/a"}, "shout"), "field_range rooms[0].may[0]"},
		"a broken one":    {grant([]string{"a//b"}, "join"), "path_segment_empty rooms[0].rooms[0]"},
		"no list":         {object{"rooms": 5}, "field_type rooms"},
		"neither of them": {object{"name": "k"}, "field_missing roles"},
	} {
		if a := w.ask("POST", "/v1/keys", chief, c.body); a.code() != c.code {
			t.Errorf("%s: %d %s, want %s", name, a.status, a.raw, c.code)
		}
	}
	// Nor does it get at more by a new secret of a key that roles decide for.
	id, _ := w.key(root, object{"tenant": "plant1", "roles": []string{"viewer"}, "read": []string{"plant1/#"}})
	if a := w.ask("POST", "/v1/keys/"+id+"/rotate", chief, object{}); a.code() != "forbidden" {
		t.Errorf("rotate: %d %s", a.status, a.raw)
	}
}
