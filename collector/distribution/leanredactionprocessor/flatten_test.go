package leanredactionprocessor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// nested returns a text inside so many lists.
func nested(levels int) pcommon.Value {
	value := pcommon.NewValueStr("text")
	for range levels {
		around := pcommon.NewValueSlice()
		value.MoveTo(around.Slice().AppendEmpty())
		value = around
	}
	return value
}

func keysOf(attributes pcommon.Map) (bytes int) {
	for key := range attributes.All() {
		bytes += len(key)
	}
	return bytes
}

func TestWhatIsInsideOfMapsAndListsGetsLongerKeys(t *testing.T) {
	attributes := pcommon.NewMap()
	form := attributes.PutEmptyMap("form")
	form.PutStr("password", "hunter22")
	form.PutEmptySlice("roles").AppendEmpty().SetStr("admin")
	form.PutEmptyMap("empty")
	attributes.PutInt("size", 7)
	nested(deepest).MoveTo(attributes.PutEmpty("deep"))
	flatten(attributes)
	expected := map[string]any{
		"form.password": "hunter22", "form.roles.0": "admin", "size": int64(7), "deep" + strings.Repeat(".0", deepest): "text",
	}
	if shown := attributes.AsRaw(); fmt.Sprint(shown) != fmt.Sprint(expected) {
		t.Errorf("%v, and not %v", shown, expected)
	}
}

func TestSizesAreLimited(t *testing.T) {
	wide := pcommon.NewValueSlice()
	for range 200_000 {
		wide.Slice().AppendEmpty().SetInt(1)
	}
	empty := pcommon.NewValueSlice()
	for range 200_000 {
		empty.Slice().AppendEmpty().SetEmptyMap()
	}
	many := pcommon.NewMap()
	for index := range 20_000 {
		many.PutInt(fmt.Sprint(index), 1)
	}
	nested(1).MoveTo(many.PutEmpty("list"))
	for name, value := range map[string]func() pcommon.Map{
		"deep":       func() pcommon.Map { return below("x", nested(40_000)) },
		"wide":       func() pcommon.Map { return below("x", wide) },
		"long key":   func() pcommon.Map { return below(strings.Repeat("x", 1<<19), wide) },
		"empty maps": func() pcommon.Map { return below(strings.Repeat("x", 1<<19), empty) },
		"many":       func() pcommon.Map { return many },
	} {
		attributes := value()
		began := time.Now()
		flatten(attributes)
		if taken := time.Since(began); taken > 10*time.Second {
			t.Errorf("%s: it took %s", name, taken)
		}
		if attributes.Len() > 2*mostBytes/entry+1 || keysOf(attributes) > 2*mostBytes {
			t.Errorf("%s: %d keys of %d bytes", name, attributes.Len(), keysOf(attributes))
		}
		if _, isMarked := attributes.Get(cut); !isMarked && name != "deep" {
			t.Errorf("%s: no mark of the cut", name)
		}
		for key, shown := range attributes.All() {
			if name == "deep" && (shown.AsString() != cut || key != "x"+strings.Repeat(".0", deepest)) {
				t.Errorf("%s: %s = %s", name, key, shown.AsString())
			}
		}
	}
}

func TestWhatIsNestedLeavesTheRest(t *testing.T) {
	attributes := pcommon.NewMap()
	list := attributes.PutEmptySlice("list")
	for range 20_000 {
		list.AppendEmpty().SetInt(1)
	}
	attributes.PutStr("service.name", "web")
	flatten(attributes)
	if name, ok := attributes.Get("service.name"); !ok || name.Str() != "web" {
		t.Error("the name of the service is gone")
	}
}

func below(key string, value pcommon.Value) pcommon.Map {
	attributes := pcommon.NewMap()
	value.CopyTo(attributes.PutEmpty(key))
	return attributes
}
