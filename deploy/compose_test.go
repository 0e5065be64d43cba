// Package deploy checks the files that users deploy with: there is no container engine where the tests
// run, so compose.yaml is loaded by the library that Docker Compose itself loads it with.
package deploy

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func loadProject(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../compose.yaml"}, cli.WithInterpolation(true), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeFileLoadsAndRunsEachRole(t *testing.T) {
	project := loadProject(t)
	var roles []string
	for name, service := range project.Services {
		if i := slices.Index(service.Command, "--roles"); i >= 0 {
			roles = append(roles, service.Command[i+1])
			if got := service.Environment["WEIR_KAFKA__BROKERS"]; got == nil || *got != "kafka:9092" {
				t.Errorf("%s: WEIR_KAFKA__BROKERS is %v", name, got)
			}
		}
	}
	slices.Sort(roles)
	if want := []string{"ingest", "pipeline", "push"}; !slices.Equal(roles, want) {
		t.Fatalf("roles %v, want %v", roles, want)
	}
}

func TestComposeFilePublishesOnLoopbackOnly(t *testing.T) {
	for name, service := range loadProject(t).Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q while Weir has no identities", name, port.Published, port.HostIP)
			}
		}
	}
}

func TestComposeFileMountsFilesThatExist(t *testing.T) {
	for name, service := range loadProject(t).Services {
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(filepath.Clean(volume.Source)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
