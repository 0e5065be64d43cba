//go:build soak

package soak

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	device "weir/sdk/go"
)

const (
	// soakRooms is how many rooms there are: each client is in two of them.
	soakRooms = 40
	// talkEvery is how often something is said, in one of them.
	talkEvery = 30 * time.Millisecond
	// receiptTime is how long a sender goes on until it has the receipt.
	receiptTime = 2 * time.Minute
)

// talk is what is said in rooms: by members through their clients, and by programs through POST /v1/publish.
type talk struct {
	*pushSoak
	rng *rand.Rand

	mu    sync.Mutex
	begun map[string]int    // messages by room
	said  map[string][]said // by room: what has a receipt
	// unsure are messages by room of which it is not known whether they were stored: their sender was killed.
	unsure map[string][]int
}

func (p *pushSoak) newTalk() *talk {
	return &talk{pushSoak: p, rng: rand.New(rand.NewPCG(*soakSeed, 66)), begun: map[string]int{}, said: map[string][]said{}, unsure: map[string][]int{}}
}

func (p *pushSoak) room(i int) string { return fmt.Sprintf("%s/room%d", p.tenant, i) }

// run says something again and again until ctx ends, and waits for all receipts.
func (t *talk) run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	tick := time.NewTicker(talkEvery)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		say, room := t.speaker(i)
		t.mu.Lock()
		t.begun[room]++
		n := t.begun[room]
		t.mu.Unlock()
		work.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), receiptTime)
			defer cancel()
			id, version, err := say(ctx, n)
			t.mu.Lock()
			defer t.mu.Unlock()
			switch {
			case errors.Is(err, errNodeKilled):
				t.unsure[room] = append(t.unsure[room], n)
				return
			case err != nil:
				t.Errorf("message %d to %s: %v", n, room, err)
				return
			}
			t.said[room] = append(t.said[room], said{id, version, n})
		})
	}
}

// messages are those that have a receipt, by room and in order.
func (t *talk) messages() map[string][]said {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string][]said{}
	for room, messages := range t.said {
		out[room] = slices.SortedFunc(slices.Values(messages), func(a, b said) int { return cmp.Compare(a.Version, b.Version) })
	}
	return out
}

// speak sends the n-th message of a room and returns its id and, of its receipt, the version.
type speak func(ctx context.Context, n int) (id string, version int64, err error)

type words struct {
	N int `json:"n"`
}

// speaker draws who says something, and where: Go, Node and programs take turns.
func (t *talk) speaker(i int) (speak, string) {
	switch i % 5 {
	case 0:
		room := t.room(t.rng.IntN(soakRooms))
		return func(ctx context.Context, n int) (string, int64, error) {
			return t.publish(ctx, device.Target{Room: room}, fmt.Sprint("program-", n), n)
		}, room
	case 1:
		client := t.rng.IntN(len(t.nodeWays))
		rooms := t.nodeWays[client].Rooms
		room := rooms[t.rng.IntN(len(rooms))]
		return func(ctx context.Context, n int) (string, int64, error) {
			a, err := t.node.now().ask(ctx, nodeOrder{Do: "send", Client: client, Room: room, Type: "chat", Payload: words{n}})
			return a.ID, a.Version, err
		}, room
	}
	v := t.viewers[t.rng.IntN(len(t.viewers))]
	room := v.rooms[t.rng.IntN(len(v.rooms))]
	return func(ctx context.Context, n int) (string, int64, error) { return v.say(ctx, room, n) }, room.Name()
}

// say sends a message and reads it.
func (v *viewer) say(ctx context.Context, room *device.Room, n int) (string, int64, error) {
	id := fmt.Sprintf("%s-%d", v.name, v.sends.Add(1))
	version, err := v.live.Send(ctx, device.Outgoing{Target: device.Target{Room: room.Name()}, ID: id, Type: "chat", Payload: words{n}})
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", v.name, err)
	}
	if err := room.WaitFor(ctx, version); err != nil {
		return "", 0, fmt.Errorf("%s: version %d: %w; %v", v.name, version, err, v.live.State())
	}
	return id, version, nil
}

// publish posts a message, under the same id until it is answered.
func (p *pushSoak) publish(ctx context.Context, to device.Target, id string, n int) (string, int64, error) {
	body, err := json.Marshal(map[string]any{"target": to, "type": "chat", "id": id, "payload": words{n}})
	if err != nil {
		return "", 0, err
	}
	for {
		version, err := p.post(ctx, p.inSomeOrder()[0], body)
		if err == nil {
			return id, version, nil
		}
		select {
		case <-ctx.Done():
			return "", 0, fmt.Errorf("publish: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (p *pushSoak) post(ctx context.Context, addr string, body []byte) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/publish", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+p.admin)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %.200s", response.Status, text)
	}
	var answer struct{ Version int64 }
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, err
	}
	return answer.Version, nil
}
