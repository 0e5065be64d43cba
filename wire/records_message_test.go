package wire

import (
	"errors"
	"reflect"
	"testing"
)

func TestRoomRecordsOfOthersAndFaultyOnesAreTold(t *testing.T) {
	for text, others := range map[string]bool{
		`{"v":1,"type":"command","id":"a"}`: true, `{"v":1,"type":"join","room":"r"}`: false, `[]`: false,
		`{"v":2,"type":"leave","room":"r","session":"s"}`:                                 false,
		`{"v":1,"type":"message","message":{"type":"t"}}`:                                 false,
		`{"v":1,"type":"message","message":{"type":"t","room":"a","user":"b"}}`:           false,
		"{\"v\":1,\"type\":\"message\",\"message\":{\"type\":\"\xff\",\"room\":\"a\"}}\n": false,
	} {
		if _, err := DecodeRoomRecord([]byte(text)); err == nil || errors.Is(err, ErrNotOfRooms) != others {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzDecodeRoomRecord(f *testing.F) {
	f.Add([]byte(`{"v":1,"type":"message","message":{"room":"plant1/ops","id":"m","type":"chat","payload":{"a":"<"},"from":{"user":"u"}}}`))
	f.Add([]byte(`{"v":1,"type":"join","room":"r","user":"u","session":"s","node":"n"}`))
	f.Add([]byte(`{"v":1,"type":"ban","room":"r","user":"u","until":5,"reason":"x","id":"b1","from":{"user":"u","session":"s"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRoomRecord(b)
		if err != nil {
			return
		}
		text, err := r.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeRoomRecord(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		twice, err := again.Append(nil)
		if err != nil || !reflect.DeepEqual(text, twice) {
			t.Fatalf("%s became %s (%v)", text, twice, err)
		}
	})
}
