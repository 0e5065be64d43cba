package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/structs"
	"github.com/knadh/koanf/v2"
)

const (
	delimiter = "."
	tag       = "koanf"
	envPrefix = "WEIR_"
	// EnvFile is the variable that names the file.
	EnvFile = "WEIR_CONFIG"
	// envBinary is set by this project's own tests: the program they run.
	envBinary = "WEIR_BIN"
	// envURL and envToken are for the commands that ask a server; who has set them may start one all the same.
	envURL, envToken = "WEIR_URL", "WEIR_TOKEN"
)

// Sources is where a configuration comes from.
type Sources struct {
	// File is YAML. Empty: none.
	File string
	// Environ is as os.Environ returns it.
	Environ []string
	// Flags are values by full path, such as "kafka.brokers".
	Flags map[string]any
}

// Load reads the sources over the defaults, and validates the result.
func Load(s Sources) (Config, error) {
	k, err := s.merge()
	if err != nil {
		return Config{}, err
	}
	var c Config
	if err := decode(k, &c); err != nil {
		return Config{}, err
	}
	if c.Data == "" && c.UsesEmbedded() {
		c.Data = DefaultData
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func (s Sources) merge() (*koanf.Koanf, error) {
	k := koanf.New(delimiter)
	if err := k.Load(structs.Provider(Default(), tag), nil); err != nil {
		return nil, fmt.Errorf("defaults: %w", err)
	}
	known := k.Keys()
	layers := []struct {
		name string
		load func(*koanf.Koanf) error
	}{
		{s.File, s.loadFile},
		{"environment", s.loadEnv},
		{"flags", func(l *koanf.Koanf) error { return l.Load(confmap.Provider(s.Flags, delimiter), nil) }},
	}
	for _, layer := range layers {
		l := koanf.New(delimiter)
		if err := layer.load(l); err != nil {
			return nil, err
		}
		if err := checkKeys(layer.name, l, known); err != nil {
			return nil, err
		}
		if err := k.Merge(l); err != nil {
			return nil, fmt.Errorf("%s: %w", layer.name, err)
		}
	}
	return k, nil
}

func (s Sources) loadFile(l *koanf.Koanf) error {
	if s.File == "" {
		return nil
	}
	if err := l.Load(file.Provider(s.File), yaml.Parser()); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("configuration file %s does not exist", s.File)
		}
		return fmt.Errorf("%s: %w", s.File, err)
	}
	// A section with nothing in it says nothing.
	for _, key := range l.Keys() {
		if l.Get(key) == nil {
			l.Delete(key)
		}
	}
	return nil
}

func (s Sources) loadEnv(l *koanf.Koanf) error {
	return l.Load(env.Provider(delimiter, env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return s.Environ },
		TransformFunc: func(key, value string) (string, any) {
			switch key {
			case EnvFile, envBinary, envURL, envToken:
				return "", nil
			}
			if serviceLink(key, value) {
				return "", nil
			}
			key = strings.ToLower(strings.TrimPrefix(key, envPrefix))
			return strings.ReplaceAll(key, "__", delimiter), value
		},
	}), nil)
}

// checkKeys refuses what no field takes, and values where there is a section.
func checkKeys(source string, l *koanf.Koanf, known []string) error {
	var errs []error
	for _, key := range l.Keys() {
		if slices.Contains(known, key) {
			continue
		}
		if slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, key+delimiter) }) {
			errs = append(errs, fmt.Errorf("%s: %s: is a section, not a value", source, key))
			continue
		}
		hint := ""
		if k := nearest(key, known); k != "" {
			hint = fmt.Sprintf(" (%s?)", k)
		}
		errs = append(errs, fmt.Errorf("%s: %s: unknown%s", source, key, hint))
	}
	return errors.Join(errs...)
}

func decode(k *koanf.Koanf, c *Config) error {
	err := k.UnmarshalWithConf("", c, koanf.UnmarshalConf{Tag: tag, DecoderConfig: &mapstructure.DecoderConfig{
		Result:      c,
		TagName:     tag,
		ErrorUnused: true,
		DecodeHook:  mapstructure.ComposeDecodeHookFunc(convert),
	}})
	return fieldErrors(err)
}

// fieldErrors makes "path: what is wrong" of mapstructure's errors.
func fieldErrors(err error) error {
	if err == nil {
		return nil
	}
	var field *mapstructure.DecodeError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range joined.Unwrap() {
			errs = append(errs, fieldErrors(e))
		}
		return errors.Join(errs...)
	}
	if errors.As(err, &field) {
		return fmt.Errorf("%s: %w", field.Name(), field.Unwrap())
	}
	return err
}
