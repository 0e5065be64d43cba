package kafkatest

import (
	"os"
	"path/filepath"
	"testing"
)

func TestABrokerIsConfiguredWhereOneRanBefore(t *testing.T) {
	c := &RealCluster{dir: t.TempDir(), broker: "127.0.0.1:1"}
	var configured [2]string
	for i := range configured {
		if err := c.write("127.0.0.1:2", "1@127.0.0.1:2"); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(c.dir, "server.properties"))
		if err != nil {
			t.Fatal(err)
		}
		configured[i] = string(text)
	}
	if configured[0] != configured[1] {
		t.Errorf("first\n%s\nand then\n%s", configured[0], configured[1])
	}
}
