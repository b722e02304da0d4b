package leanredactionprocessor

import (
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Limits of a map that is made flat. Each key holds those of all maps around it, and each new key is looked for among
// the others, so without limits a request of some 100 KiB takes gigabytes of memory, or minutes.
const (
	deepest   = 32      // maps and lists inside each other
	mostBytes = 1 << 20 // of keys
	entry     = 1 << 8  // bytes that an entry counts in addition to its key, so that there are 4096 at most
	cut       = "[cut]" // marks the place of what is left out
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
	flat.EnsureCapacity(min(attributes.Len(), mostBytes/entry))
	inside, outside := mostBytes, mostBytes // what is nested takes no room of the rest, such as the name of the service
	for key, value := range attributes.All() {
		if isNested(value) {
			put(flat, key, value, 0, &inside)
		} else {
			put(flat, key, value, 0, &outside)
		}
	}
	flat.MoveTo(attributes)
}

// put adds a value under its key, or what is inside it under longer keys. It returns false if there is no more room.
func put(flat pcommon.Map, key string, value pcommon.Value, depth int, room *int) bool {
	if *room < 0 {
		return false
	}
	if *room -= entry + len(key); *room < 0 {
		flat.PutBool(cut, true)
		return false
	}
	switch {
	case !isNested(value):
		value.CopyTo(flat.PutEmpty(key))
	case depth == deepest:
		flat.PutStr(key, cut)
	case value.Type() == pcommon.ValueTypeMap:
		for below, item := range value.Map().All() {
			if !put(flat, key+"."+below, item, depth+1, room) {
				return false
			}
		}
	default:
		for index, item := range value.Slice().All() {
			if !put(flat, key+"."+strconv.Itoa(index), item, depth+1, room) {
				return false
			}
		}
	}
	return true
}

func isNested(value pcommon.Value) bool {
	return value.Type() == pcommon.ValueTypeMap || value.Type() == pcommon.ValueTypeSlice
}
