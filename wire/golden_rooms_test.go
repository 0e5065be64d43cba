package wire

import "encoding/json"

// roomAnswers are the messages about rooms that are told.
func roomAnswers() []ServerMessage {
	alice := Sender{User: "plant1/_users/alice", Session: "s1"}
	message := &RoomMessage{
		Target: Target{Room: "plant1/ops"}, Version: 4097, ID: "m1", Type: "chat", From: alice, Time: serverTime, Payload: json.RawMessage(`{"text":"<é>"}`),
	}
	toUser, toSession, toAll := *message, *message, *message
	toUser.Target, toUser.From, toUser.Ephemeral = Target{User: alice.User}, Sender{User: "plant1/_users/robot"}, true
	toSession.Target, toSession.Payload = Target{Session: "s1"}, json.RawMessage("null")
	toAll.Target, toAll.Payload = Target{Broadcast: true}, json.RawMessage("[1,2.5]")
	return []ServerMessage{
		&Joined{Room: "plant1/ops"},
		&Joined{
			Room: "plant1/ops", Messages: []*RoomMessage{message}, Version: 8193, Gap: true,
			Members: []RoomMember{{User: alice.User, Session: "s1", Since: serverTime}, {User: "plant1/_users/bob", Session: "s2", Away: true, Since: serverTime}},
		},
		&Left{Room: "plant1/ops"},
		&RoomList{Rooms: []RoomInfo{{Room: "plant1/ops", Members: 2, Version: 8193}}},
		message, &toUser, &toSession, &toAll,
		&RoomPresence{Room: "plant1/ops", Event: "joined", User: alice.User, Session: "s1", Time: serverTime},
		&RoomPresence{Room: "plant1/ops", Event: "kicked", User: alice.User, Session: "s1", Time: serverTime},
		&MessageReceipt{ID: "m1", Version: 4097},
		&ErrorMsg{Error: *NewError(CodeBanned, "payload.room"), ID: "m1", Room: "plant1/ops"},
	}
}

// roomRequest is a client's message about rooms.
type roomRequest struct {
	RoomRequest
	kind string
}

func roomRequests() []roomRequest {
	room := Target{Room: "plant1/ops"}
	bob := Target{Room: "plant1/ops", User: "plant1/_users/bob"}
	return []roomRequest{
		{RoomRequest{Target: room}, TypeJoin},
		{RoomRequest{Target: room, Last: 50, HasLast: true, After: 4097, HasAfter: true}, TypeJoin},
		{RoomRequest{Target: room}, TypeLeave},
		{RoomRequest{}, TypeRooms},
		{RoomRequest{Target: room, ID: "m1", Type: "chat", Payload: []byte(`{"text":"<é>"}`)}, TypeSend},
		{RoomRequest{
			Target: Target{User: bob.User}, ID: "m2", Type: "chat", Payload: []byte("1"), ExcludeSelf: true, Ephemeral: true, TTLMS: 60_000}, TypeSend},
		{RoomRequest{Target: Target{Session: "s2"}, ID: "m3", Type: "chat", Payload: []byte("null")}, TypeSend},
		{RoomRequest{Target: Target{Broadcast: true}, ID: "m4", Type: "chat", Payload: []byte(`""`)}, TypeSend},
		{RoomRequest{Target: bob, Reason: "noise"}, TypeKick},
		{RoomRequest{Target: bob, ForMS: 60_000, Reason: "noise"}, TypeBan},
		{RoomRequest{Target: bob, ID: "k1"}, TypeKick},
		{RoomRequest{Target: bob, ID: "b1", ForMS: 60_000}, TypeBan},
		{RoomRequest{Version: 4097}, TypeAck},
	}
}
