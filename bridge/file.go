package bridge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"weir/internal/yamlfile"
)

// Bounds of a file.
const (
	MaxBytes   = 256 << 10
	MaxBridges = 100
)

// Plan is a file of bridges. It is immutable and safe for concurrent use.
type Plan struct {
	bridges []*Bridge
	hash    string
}

// Parse reads bridges.yaml. Its error joins a *Fault for everything that is wrong.
func Parse(text []byte) (*Plan, error) {
	sum := sha256.Sum256(text)
	p := &Plan{hash: hex.EncodeToString(sum[:8])}
	f := new(faults)
	if root := f.Read(text, MaxBytes); root != nil {
		p.read(root, f)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Plan) read(root *yaml.Node, f *faults) {
	list, ok := f.section(root, "", "bridges")["bridges"]
	if !ok {
		return
	}
	if list.value.Kind != yaml.SequenceNode {
		f.at(list.path, list.line, "must be a list")
		return
	}
	if n := len(list.value.Content); n > MaxBridges {
		f.at(list.path, list.line, "there are %d, and may be %d", n, MaxBridges)
		return
	}
	for i, n := range list.value.Content {
		at := yamlfile.Index(list.path, i)
		b := readBridge(n, at, f)
		if b == nil {
			continue
		}
		if twin := p.Find(b.Name); b.Name != "" && twin != nil {
			f.at(at+".name", b.line, "there are two called %s: they would share their place in the topic", b.Name)
		}
		p.bridges = append(p.bridges, b)
	}
}

// Bridges are those of the file, in its order. The caller must not change them.
func (p *Plan) Bridges() []*Bridge { return p.bridges }

// Find returns the bridge of a name, or nil.
func (p *Plan) Find(name string) *Bridge {
	if i := slices.IndexFunc(p.bridges, func(b *Bridge) bool { return b.Name == name }); i >= 0 {
		return p.bridges[i]
	}
	return nil
}

// Hash identifies the text: the first 8 bytes of its SHA-256, in hex.
func (p *Plan) Hash() string { return p.hash }

// Summary counts what is in the file, for people.
func (p *Plan) Summary() string {
	topics := map[string]bool{}
	for _, b := range p.bridges {
		topics[b.Topic] = true
	}
	return counted(len(p.bridges), "bridge") + " of " + counted(len(topics), "topic")
}

func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
