package app

import (
	"log/slog"
	"runtime"

	"weir/config"
)

// Options of an App.
type Options struct {
	Config config.Config
	Logger *slog.Logger // nil discards
	Build  Build
}

// Build says what this program was made of.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
}

// buildInfo is the answer of GET /version.
type buildInfo struct {
	Build
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (b Build) info() buildInfo {
	if b.Version == "" {
		b.Version = "dev"
	}
	return buildInfo{Build: b, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
}
