package config

import (
	"fmt"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/structs"
	"github.com/knadh/koanf/v2"
)

// YAML is the configuration as a file that would bring it about.
func (c Config) YAML() ([]byte, error) {
	k := koanf.New(delimiter)
	if err := k.Load(structs.Provider(c, tag), nil); err != nil {
		return nil, fmt.Errorf("print configuration: %w", err)
	}
	out, err := k.Marshal(yaml.Parser())
	if err != nil {
		return nil, fmt.Errorf("print configuration: %w", err)
	}
	return out, nil
}
