package wire

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestMessagesAboutRoomsAreReadAsTheyWereWritten(t *testing.T) {
	message := RoomMessage{
		Target: Target{Room: "p/ops"}, Version: 4097, ID: "m1", Type: "chat", From: Sender{User: "p/_users/a", Session: "s1"}, Time: 5,
		Payload: json.RawMessage(`{"text":"é\""}`), Ephemeral: true,
	}
	toUser, toAll, toSession := message, message, message
	toUser.Target, toAll.Target, toSession.Target = Target{User: "p/_users/b"}, Target{Broadcast: true}, Target{Session: "s2"}
	toAll.Ephemeral, toAll.Payload = false, json.RawMessage("null")
	for _, m := range []ServerMessage{
		&message, &toUser, &toAll, &toSession,
		&Joined{
			Room: "p/ops", Version: 9, Gap: true, Messages: []*RoomMessage{&message},
			Members: []RoomMember{{User: "p/_users/a", Session: "s1", Since: 3}, {User: "p/_users/b", Session: "s2", Away: true}},
		},
		&Left{Room: "p/ops"},
		&RoomPresence{Room: "p/ops", Event: "kicked", User: "p/_users/a", Session: "s1", Time: 7},
		&RoomList{Rooms: []RoomInfo{{Room: "p/ops", Members: 2, Version: 9}}},
		&MessageReceipt{ID: "m1", Version: 9},
		&ErrorMsg{Error: *NewError(CodeForbidden, "payload.room"), ID: "m1", Room: "p/ops"},
		&ErrorMsg{Error: *NewError(CodeForbidden, "payload.room"), Room: "p/ops"},
		&Ping{Payload: []byte(`{"t":5}`)},
	} {
		text := m.Append(nil)
		var d LiveDecoder
		got, err := d.Decode(text)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		got, err = d.DecodeProto(AppendServerJSON(nil, text))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s in protobuf: %+v, %v", text, got, err)
		}
		// A program that prints what it has read says the same.
		_, payload := SplitMessage(text)
		printed, err := json.Marshal(m)
		if _, isPing := m.(*Ping); err != nil || !isPing && !reflect.DeepEqual(object(t, printed), object(t, payload)) {
			t.Errorf("%s\nprinted %s, %v", payload, printed, err)
		}
	}
}

func object(t *testing.T, text []byte) (o map[string]any) {
	t.Helper()
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return o
}

func TestRequestsAboutRoomsAreReadAsTheyWereWritten(t *testing.T) {
	for kind, requests := range map[string][]RoomRequest{
		TypeJoin: {{Target: Target{Room: "p/ops"}}, {Target: Target{Room: "p/ops"}, HasLast: true}, {Target: Target{Room: "p/ops"}, Last: 5, HasLast: true},
			{Target: Target{Room: "p/ops"}, HasAfter: true}, {Target: Target{Room: "p/ops"}, After: 4097, HasAfter: true}},
		TypeLeave: {{Target: Target{Room: "p/ops"}}},
		TypeRooms: {{}},
		TypeSend: {
			{Target: Target{Room: "p/ops"}, ID: "m1", Type: "chat", Payload: []byte(`{"a":[1]}`), ExcludeSelf: true, Ephemeral: true, TTLMS: 60_000},
			{Target: Target{User: "p/_users/a"}, ID: "m1", Type: "chat", Payload: []byte(`"x"`)},
			{Target: Target{Session: "s1"}, ID: "m1", Type: "chat", Payload: []byte(`1`)},
			{Target: Target{Broadcast: true}, ID: "m1", Type: "chat", Payload: []byte(`null`)},
		},
		TypeKick: {{Target: Target{Room: "p/ops", User: "p/_users/a"}, Reason: "noise"}},
		TypeBan:  {{Target: Target{Room: "p/ops", User: "p/_users/a"}, ID: "b1", ForMS: 1000, Reason: "noise"}},
		TypeAck:  {{Version: 9}},
	} {
		for _, r := range requests {
			text := r.Append(nil, kind)
			m, err := DecodeClientMessage(text)
			if err != nil || m.Type != kind || !reflect.DeepEqual(m.Room, r) {
				t.Errorf("%s: %+v, %v", text, m.Room, err)
			}
		}
	}
}
