package main

import "testing"

func TestOneAddressIsEnoughForAllTools(t *testing.T) {
	for given, want := range map[string]string{
		"http://127.0.0.1:7420":             "ws://127.0.0.1:7420/v1/live",
		"https://weir.example/":             "wss://weir.example/v1/live",
		"ws://weir.example:1":               "ws://weir.example:1/v1/live",
		"ws://weir.example/proxied/v1/live": "ws://weir.example/proxied/v1/live",
		"here":                              "here",
		"://":                               "://",
	} {
		if got := webSocket(given, "/v1/live"); got != want {
			t.Errorf("%s became %s, want %s", given, got, want)
		}
	}
}
