package leanredactionprocessor

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// flatten makes `form.name: …` of `form: {name: …}`, since the key of a value inside a map may be that of a secret.
func flatten(attributes pcommon.Map) {
	isFlat := true
	for _, value := range attributes.All() {
		isFlat = isFlat && !isNested(value)
	}
	if isFlat {
		return
	}
	flat := pcommon.NewMap()
	flat.EnsureCapacity(attributes.Len())
	for key, value := range attributes.All() {
		put(flat, key, value)
	}
	flat.MoveTo(attributes)
}

func put(flat pcommon.Map, key string, value pcommon.Value) {
	switch value.Type() {
	case pcommon.ValueTypeMap:
		for below, item := range value.Map().All() {
			put(flat, key+"."+below, item)
		}
	case pcommon.ValueTypeSlice:
		for index, item := range value.Slice().All() {
			put(flat, key+"."+strconv.Itoa(index), item)
		}
	default:
		value.CopyTo(flat.PutEmpty(key))
	}
}

func isNested(value pcommon.Value) bool {
	return value.Type() == pcommon.ValueTypeMap || value.Type() == pcommon.ValueTypeSlice
}
