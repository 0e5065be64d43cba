package auth

import (
	"context"
	"encoding/json"
)

// Store is the map that all processes share, weir.auth: a kafka/table.Table. Put and Delete return when the change
// is stored and those that watch in this process have seen it.
type Store interface {
	Get(key string) ([]byte, bool)
	Range(prefix string, fn func(key string, value []byte) bool)
	Watch(prefix string, fn func(key string, value []byte))
	Put(ctx context.Context, key string, value []byte) error
	Delete(ctx context.Context, key string) error
	// Ready is closed when what was there at the start has been read.
	Ready() <-chan struct{}
}

// Keys of the store.
const (
	keyPrefix     = "key/"     // API keys, by id
	revokedPrefix = "revoked/" // revocations, by kind, tenant and value
	familyPrefix  = "family/"  // refresh families, by id
)

// layout is the version of the values.
const layout = 1

func putJSON(ctx context.Context, s Store, key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.Put(ctx, key, text)
}

func getJSON(s Store, key string, value any) (found bool, err error) {
	text, ok := s.Get(key)
	if !ok {
		return false, nil
	}
	return true, json.Unmarshal(text, value)
}
