package leanredactionprocessor

import (
	"context"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

func (r *redactor) traces(_ context.Context, traces ptrace.Traces) (ptrace.Traces, error) {
	for _, resource := range traces.ResourceSpans().All() {
		r.flat(resource.Resource().Attributes())
		for _, scope := range resource.ScopeSpans().All() {
			r.flat(scope.Scope().Attributes())
			for _, span := range scope.Spans().All() {
				r.span(span)
			}
		}
	}
	return traces, nil
}

func (r *redactor) span(span ptrace.Span) {
	r.flat(span.Attributes())
	if name := span.Name(); name != "" {
		if shown := r.withoutAny(name); shown != name {
			span.SetName(shown)
		}
	}
	if message := span.Status().Message(); message != "" {
		if shown := r.withoutAny(message); shown != message {
			span.Status().SetMessage(shown)
		}
	}
	for _, event := range span.Events().All() {
		r.flat(event.Attributes())
		if shown := r.withoutAny(event.Name()); shown != event.Name() {
			event.SetName(shown)
		}
	}
	for _, link := range span.Links().All() {
		r.flat(link.Attributes())
	}
}

func (r *redactor) flat(attributes pcommon.Map) {
	if attributes.Len() > 0 {
		flatten(attributes)
		r.attributes(attributes)
	}
}

func (r *redactor) logs(_ context.Context, logs plog.Logs) (plog.Logs, error) {
	for _, resource := range logs.ResourceLogs().All() {
		r.flat(resource.Resource().Attributes())
		for _, scope := range resource.ScopeLogs().All() {
			r.flat(scope.Scope().Attributes())
			for _, record := range scope.LogRecords().All() {
				r.record(record)
			}
		}
	}
	return logs, nil
}

func (r *redactor) record(record plog.LogRecord) {
	attributes := record.Attributes()
	flatten(attributes)
	hidden := r.hide(attributes)
	body := record.Body()
	if isNested(body) {
		hidden += r.hideBody(body)
	}
	if hidden > 0 {
		count(attributes, countOfMasked, hidden)
	}
	if isNested(body) {
		return
	}
	text := body.AsString()
	if shown := r.withoutShapes(text); shown != text {
		body.SetStr(shown)
		count(attributes, countOfBodyParts, 1)
	}
}

// bodyKey is before each key of a body, so that keys at its first level are looked at like all others.
const bodyKey = "otelcol.body"

// hideBody makes a body of maps and lists flat, hides its secrets and returns how many it hid.
func (r *redactor) hideBody(body pcommon.Value) int64 {
	parts, room := pcommon.NewMap(), mostBytes
	put(parts, bodyKey, body, 0, &room)
	hidden := r.hide(parts)
	flat := body.SetEmptyMap()
	for key, value := range parts.All() {
		value.CopyTo(flat.PutEmpty(strings.TrimPrefix(key, bodyKey+".")))
	}
	return hidden
}

func (r *redactor) metrics(_ context.Context, metrics pmetric.Metrics) (pmetric.Metrics, error) {
	for _, resource := range metrics.ResourceMetrics().All() {
		r.labels(resource.Resource().Attributes())
		for _, scope := range resource.ScopeMetrics().All() {
			r.labels(scope.Scope().Attributes())
			for _, metric := range scope.Metrics().All() {
				r.metric(metric)
			}
		}
	}
	return metrics, nil
}

func (r *redactor) metric(metric pmetric.Metric) {
	switch metric.Type() {
	case pmetric.MetricTypeGauge:
		for _, point := range metric.Gauge().DataPoints().All() {
			r.point(point.Attributes(), point.Exemplars())
		}
	case pmetric.MetricTypeSum:
		for _, point := range metric.Sum().DataPoints().All() {
			r.point(point.Attributes(), point.Exemplars())
		}
	case pmetric.MetricTypeHistogram:
		for _, point := range metric.Histogram().DataPoints().All() {
			r.point(point.Attributes(), point.Exemplars())
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, point := range metric.ExponentialHistogram().DataPoints().All() {
			r.point(point.Attributes(), point.Exemplars())
		}
	case pmetric.MetricTypeSummary:
		for _, point := range metric.Summary().DataPoints().All() {
			r.labels(point.Attributes())
		}
	}
}

func (r *redactor) point(attributes pcommon.Map, exemplars pmetric.ExemplarSlice) {
	r.labels(attributes)
	for _, exemplar := range exemplars.All() {
		r.labels(exemplar.FilteredAttributes())
	}
}

// labels hides the secrets of attributes that become labels, and removes counts: they would be labels too.
func (r *redactor) labels(attributes pcommon.Map) {
	flatten(attributes)
	r.hide(attributes)
	attributes.RemoveIf(func(key string, _ pcommon.Value) bool { return strings.HasPrefix(key, "redaction.") })
}
