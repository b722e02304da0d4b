// Package leanredactionprocessor is a processor that hides secrets in spans, logs and metrics in one pass.
//
// It does what the processors redaction and transform of the contrib distribution do with collector/redaction.j2. They
// run every expression on every value. This processor first looks for the literals that every match must hold, and
// runs an expression only if a value has them.
package leanredactionprocessor

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/processorhelper"
)

var capabilities = processorhelper.WithCapabilities(consumer.Capabilities{MutatesData: true})

// NewFactory returns the factory of the processor `lean_redaction`.
func NewFactory() processor.Factory {
	return processor.NewFactory(
		component.MustNewType("lean_redaction"),
		func() component.Config { return &Config{} },
		processor.WithTraces(newTraces, component.StabilityLevelStable),
		processor.WithLogs(newLogs, component.StabilityLevelStable),
		processor.WithMetrics(newMetrics, component.StabilityLevelStable),
	)
}

func newTraces(
	ctx context.Context, settings processor.Settings, config component.Config, next consumer.Traces,
) (processor.Traces, error) {
	redactor, err := newRedactor(config.(*Config))
	if err != nil {
		return nil, err
	}
	return processorhelper.NewTraces(ctx, settings, config, next, redactor.traces, capabilities)
}

func newLogs(
	ctx context.Context, settings processor.Settings, config component.Config, next consumer.Logs,
) (processor.Logs, error) {
	redactor, err := newRedactor(config.(*Config))
	if err != nil {
		return nil, err
	}
	return processorhelper.NewLogs(ctx, settings, config, next, redactor.logs, capabilities)
}

func newMetrics(
	ctx context.Context, settings processor.Settings, config component.Config, next consumer.Metrics,
) (processor.Metrics, error) {
	redactor, err := newRedactor(config.(*Config))
	if err != nil {
		return nil, err
	}
	return processorhelper.NewMetrics(ctx, settings, config, next, redactor.metrics, capabilities)
}
