package leanredactionprocessor

import (
	"regexp"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

const mark = "****"

// redactor hides secrets in attributes and texts. It can be used by several goroutines at once.
type redactor struct {
	keys     *keys
	redacted *regexp.Regexp
	look     *firstLook
	plain    *regexp.Regexp
	shapes   []*regexp.Regexp
	anyShape *regexp.Regexp // any of the shapes
}

func newRedactor(config *Config) (*redactor, error) {
	made := &redactor{}
	var err error
	if made.keys, err = newKeys(config); err != nil {
		return nil, err
	}
	if made.look, err = newFirstLook(config.Shapes); err != nil {
		return nil, err
	}
	for _, shape := range config.Shapes {
		compiled, err := regexp.Compile(shape)
		if err != nil {
			return nil, err
		}
		made.shapes = append(made.shapes, compiled)
	}
	if made.anyShape, err = regexp.Compile(strings.Join(config.Shapes, "|")); err != nil {
		return nil, err
	}
	if made.plain, err = regexp.Compile(config.Plain); err != nil {
		return nil, err
	}
	if made.redacted, err = regexp.Compile(config.Redacted); err != nil {
		return nil, err
	}
	return made, nil
}

// attributes hides the secrets of a map without maps and lists, and counts them in it.
func (r *redactor) attributes(attributes pcommon.Map) {
	if hidden := r.hide(attributes); hidden > 0 {
		count(attributes, countOfMasked, hidden)
	}
}

// hide hides the secrets and returns how many it hid.
func (r *redactor) hide(attributes pcommon.Map) (hidden int64) {
	hasCounters := false
	for key, value := range attributes.All() {
		meaning := r.keys.meaning(key)
		if meaning == counter {
			hasCounters = true
			continue
		}
		if meaning&typed != 0 {
			hidden += r.hideTyped(value)
		}
		switch value.Type() {
		case pcommon.ValueTypeStr:
			if meaning&secret != 0 {
				hidden += r.hideText(value)
			}
			text := value.Str()
			if shown := r.withoutShapes(text); shown != text {
				value.SetStr(shown)
				hidden++
			}
		case pcommon.ValueTypeBytes:
			hidden += r.hideBytes(value, meaning&secret != 0)
		}
	}
	if hasCounters {
		attributes.RemoveIf(func(key string, _ pcommon.Value) bool { return r.keys.meaning(key) == counter })
	}
	return hidden
}

func (r *redactor) hideTyped(value pcommon.Value) int64 {
	text := value.AsString()
	if text == "" || text == "true" || text == "false" || r.redacted.MatchString(text) {
		return 0
	}
	value.SetStr(masked(text))
	return 1
}

func (r *redactor) hideText(value pcommon.Value) int64 {
	text := value.Str()
	if text == "" || text == mark || r.redacted.MatchString(text) {
		return 0
	}
	value.SetStr(masked(text))
	return 1
}

// hideBytes hides bytes whole if they are a secret or hold one: what is left of them may be no text.
func (r *redactor) hideBytes(value pcommon.Value, isSecret bool) int64 {
	text := string(value.Bytes().AsRaw())
	if text == "" || (!isSecret && r.withoutAny(text) == text) {
		return 0
	}
	value.SetStr(mark)
	return 1
}

// masked hides each line of a text.
func masked(text string) string {
	if !strings.Contains(text, "\n") {
		return mark
	}
	return line.ReplaceAllString(text, mark)
}

var line = regexp.MustCompile(".*")

// withoutShapes hides the secrets inside a text, one shape after the other.
func (r *redactor) withoutShapes(text string) string {
	possible := r.look.possible(text)
	if possible == 0 || r.plain.MatchString(text) {
		return text
	}
	each(possible, func(shape int) { text = r.shapes[shape].ReplaceAllString(text, mark) })
	return text
}

// withoutAny hides the secrets inside a name or a message, all shapes at once.
func (r *redactor) withoutAny(text string) string {
	if r.look.possible(text) == 0 {
		return text
	}
	return r.anyShape.ReplaceAllString(text, mark)
}

func count(attributes pcommon.Map, key string, hidden int64) {
	if existing, ok := attributes.Get(key); ok {
		hidden += existing.Int()
	}
	attributes.PutInt(key, hidden)
}
