package wire

// Templates name devices and metrics.
type Templates struct{}

// DefaultTemplates are those that apply without configuration.
func DefaultTemplates() *Templates { return defaultTemplates }

var defaultTemplates = &Templates{}
