package leanredactionprocessor

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

func newTestRedactor(t *testing.T) *redactor {
	t.Helper()
	made, err := newRedactor(&Config{
		Typed: []string{"^pin$"}, Secret: []string{"(?i)api.?key", "^form[.]key$"}, Redacted: "^\\[redacted\\]$",
		Plain: "^[a-z]*$", Shapes: []string{"hunter[0-9]{2}"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestBytesAreHiddenUnderTheNameOfASecretOrWithASecretInside(t *testing.T) {
	attributes := pcommon.NewMap()
	for key, text := range map[string]string{
		"api.key": "\xff\x00", "pin": "\x01", "data": "a hunter22 b", "kept": "a hunter b", "empty.api.key": "",
	} {
		attributes.PutEmptyBytes(key).FromRaw([]byte(text))
	}
	newTestRedactor(t).attributes(attributes)
	for key, expected := range map[string]string{"api.key": mark, "pin": mark, "data": mark, countOfMasked: "3"} {
		if value, ok := attributes.Get(key); !ok || value.AsString() != expected {
			t.Errorf("%s = %s", key, value.AsString())
		}
	}
	for _, key := range []string{"kept", "empty.api.key"} {
		if value, _ := attributes.Get(key); value.Type() != pcommon.ValueTypeBytes {
			t.Errorf("%s has become %s", key, value.Type())
		}
	}
}

func TestLabelsOfMetricsAndExemplarsAreSearchedInside(t *testing.T) {
	metrics := pmetric.NewMetrics()
	resource := metrics.ResourceMetrics().AppendEmpty()
	scope := resource.ScopeMetrics().AppendEmpty()
	point := scope.Metrics().AppendEmpty().SetEmptyHistogram().DataPoints().AppendEmpty()
	all := []pcommon.Map{
		resource.Resource().Attributes(), scope.Scope().Attributes(), point.Attributes(),
		point.Exemplars().AppendEmpty().FilteredAttributes(),
	}
	for _, attributes := range all {
		form := attributes.PutEmptyMap("form")
		form.PutStr("key", "planted")
		form.PutStr("text", "hunter22")
	}
	if _, err := newTestRedactor(t).metrics(context.Background(), metrics); err != nil {
		t.Fatal(err)
	}
	for index, attributes := range all {
		shown := attributes.AsRaw()
		if shown["form.key"] != mark || shown["form.text"] != mark || len(shown) != 2 {
			t.Errorf("%d: %v", index, shown)
		}
	}
}

func TestTextsThatAreNoUTF8AreSearched(t *testing.T) {
	redactor := newTestRedactor(t)
	for _, text := range []string{"\xffhunter22\xfe", "hunter22", "\x00hunter22", "HUNTER hunter22"} {
		if shown := redactor.withoutShapes(text); strings.Contains(shown, "22") {
			t.Errorf("%q shows %q", text, shown)
		}
	}
	attributes := pcommon.NewMap()
	attributes.PutStr("", "hunter22")
	attributes.PutStr("api\xffkey", "planted")
	redactor.attributes(attributes)
	if shown := attributes.AsRaw(); shown[""] != mark || shown["api\xffkey"] != mark {
		t.Errorf("%v", shown)
	}
}
