package leanredactionprocessor

import (
	"errors"

	"go.opentelemetry.io/collector/component"
)

// Config has the tables of the library's redaction. Each expression is one of Go's RE2.
type Config struct {
	// KnownKeys are keys of the conventions. Their values are searched for shapes only.
	KnownKeys []string `mapstructure:"known_keys"`
	// Flags match keys whose numbers only tell whether there is a secret.
	Flags []string `mapstructure:"flags"`
	// Typed match keys of secrets that people type in digits. Values of all types are hidden, numbers too.
	Typed []string `mapstructure:"typed"`
	// Harmless match keys that describe a secret, such as its length.
	Harmless []string `mapstructure:"harmless"`
	// Secret match keys whose text is hidden.
	Secret []string `mapstructure:"secret"`
	// Redacted matches the texts that the library writes instead of a secret.
	Redacted string `mapstructure:"redacted"`
	// Plain matches whole texts that have no shape. It is tried before the shapes, because it takes less time.
	Plain string `mapstructure:"plain"`
	// Shapes match secrets inside text.
	Shapes []string `mapstructure:"shapes"`
}

var _ component.Config = (*Config)(nil)

// Validate refuses a configuration that would hide nothing, and one whose expressions do not compile.
func (config *Config) Validate() error {
	if len(config.Secret) == 0 || len(config.Shapes) == 0 || config.Redacted == "" || config.Plain == "" {
		return errors.New("secret, shapes, plain and redacted must not be empty")
	}
	_, err := newRedactor(config)
	return err
}
