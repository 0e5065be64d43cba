package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker in release builds.
var version string

type versionCmd struct{}

func (versionCmd) Run(to streams) error {
	_, err := fmt.Fprintln(to.out, currentBuild())
	return err
}

// build says what this binary was made of.
type build struct {
	version, commit string
	modified        bool
}

func currentBuild() build {
	b := build{version: version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	return b.with(info)
}

// with fills in what the Go tool has recorded.
func (b build) with(info *debug.BuildInfo) build {
	if b.version == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		b.version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.commit = s.Value
		case "vcs.modified":
			b.modified = s.Value == "true"
		}
	}
	return b
}

func (b build) String() string {
	text := "weir " + b.version
	if b.version == "" {
		text = "weir dev"
	}
	if b.commit != "" {
		text += " commit " + b.commit[:min(12, len(b.commit))]
	}
	if b.modified {
		text += " (modified)"
	}
	return fmt.Sprintf("%s %s %s/%s", text, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
