package yamlfile

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Read returns the root of a file of at most most bytes; nil when it says nothing, or has faults.
func (f *Faults) Read(text []byte, most int) *yaml.Node {
	if len(text) > most {
		f.Add(&Fault{Reason: fmt.Sprintf("the file is larger than %d bytes", most)})
		return nil
	}
	var document, second yaml.Node
	in := yaml.NewDecoder(strings.NewReader(string(text)))
	if err := in.Decode(&document); err != nil {
		f.syntax(err)
		return nil
	}
	if err := in.Decode(&second); err == nil {
		f.Add(&Fault{Line: second.Line, Reason: "a second document is not possible"})
	} else {
		f.syntax(err)
	}
	if len(f.List) > 0 || f.aliases(&document) || len(document.Content) == 0 || IsNull(document.Content[0]) {
		return nil
	}
	return document.Content[0]
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)

// syntax tells what is wrong with the YAML. That there is no more of it is right.
func (f *Faults) syntax(err error) {
	if errors.Is(err, io.EOF) {
		return
	}
	line, reason := 0, err.Error()
	if m := syntaxLine.FindStringSubmatch(reason); m != nil {
		line, _ = strconv.Atoi(m[1])
		reason = m[2]
	}
	f.Add(&Fault{Line: line, Reason: "is not YAML: " + reason})
}

// aliases keeps out files that say in a few lines what takes memory without bound.
func (f *Faults) aliases(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Tag == "!!merge" {
		f.Add(&Fault{Line: n.Line, Reason: "anchors, aliases and << are not possible"})
		return true
	}
	return slices.ContainsFunc(n.Content, f.aliases)
}
