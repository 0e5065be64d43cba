package wire

import (
	"errors"
	"fmt"
)

// TemplatesConfig says how the names of formats that know neither device nor metric become both. See
// docs/protocol/formats.md for what a template may hold. An empty template stands for its default.
type TemplatesConfig struct {
	// Influx is for the line protocol and for Telegraf's JSON.
	Influx TemplateConfig `koanf:"influx"`
	// SenML is for SenML in JSON and CBOR.
	SenML TemplateConfig `koanf:"senml"`
	// Topic is for the topics of MQTT. An empty Metric leaves the metric to the readings.
	Topic TemplateConfig `koanf:"topic"`
}

// TemplateConfig is a template for the device and one for its metric.
type TemplateConfig struct {
	Device string `koanf:"device"`
	Metric string `koanf:"metric"`
}

// DefaultTemplatesConfig is what an installation without configuration runs with.
func DefaultTemplatesConfig() TemplatesConfig {
	return TemplatesConfig{
		Influx: TemplateConfig{
			Device: "{device|tag.host|tag.device|tag.device_id}",
			Metric: "{measurement}{_field}{.tags!host}",
		},
		SenML: TemplateConfig{Device: "{device|base}", Metric: "{n}"},
		Topic: TemplateConfig{Device: "{topic}"},
	}
}

// Validate names every template that cannot work.
func (c TemplatesConfig) Validate() error {
	_, err := ParseTemplates(c)
	return err
}

// Templates are the compiled templates; they may be shared.
type Templates struct {
	influx, senml, topic templatePair
}

type templatePair struct{ device, metric template }

// ParseTemplates compiles c. The error names each template that cannot work, such as influx.device.
func ParseTemplates(c TemplatesConfig) (*Templates, error) {
	def := DefaultTemplatesConfig()
	t := &Templates{}
	var errs []error
	parse := func(into *template, field, text, fallback string, allowed variableSet) {
		if text == "" {
			text = fallback
		}
		parsed, err := parseTemplate(text, allowed)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field, err))
		}
		*into = parsed
	}
	const influx = everywhere | 1<<varMeasurement | 1<<varTag | 1<<varTags
	const senml = everywhere | 1<<varName | 1<<varBase | 1<<varN
	parse(&t.influx.device, "influx.device", c.Influx.Device, def.Influx.Device, influx)
	parse(&t.influx.metric, "influx.metric", c.Influx.Metric, def.Influx.Metric, influx|1<<varField)
	parse(&t.senml.device, "senml.device", c.SenML.Device, def.SenML.Device, senml)
	parse(&t.senml.metric, "senml.metric", c.SenML.Metric, def.SenML.Metric, senml)
	parse(&t.topic.device, "topic.device", c.Topic.Device, def.Topic.Device, everywhere)
	parse(&t.topic.metric, "topic.metric", c.Topic.Metric, def.Topic.Metric, everywhere)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	t.influx.metric.leaveOutNamed()
	return t, nil
}

var defaultTemplates, _ = ParseTemplates(DefaultTemplatesConfig())

// DefaultTemplates are those that apply without configuration.
func DefaultTemplates() *Templates { return defaultTemplates }

// Topic names the device of a topic and, if the template for metrics is not empty, the metric. device is that of
// the connection, tenant as in DecoderOptions; either may be empty.
func (t *Templates) Topic(topic, device, tenant string) (toDevice, toMetric string, refused *Error) {
	n := names{device: device, tenant: tenant, topic: topic}
	toDevice, v := n.toDevice(&t.topic.device)
	if v != good {
		return "", "", NewError(verdictCodes[v], "topic")
	}
	if len(t.topic.metric.parts) == 0 {
		return toDevice, "", nil
	}
	if toMetric, v = n.toMetric(&t.topic.metric); v != good {
		return "", "", NewError(verdictCodes[v], "topic")
	}
	return toDevice, toMetric, nil
}
