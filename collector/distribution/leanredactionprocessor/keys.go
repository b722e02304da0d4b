package leanredactionprocessor

import (
	"regexp"
	"strings"
	"sync"
)

const (
	rememberedKeys   = 4096
	longestKey       = 256 // of a remembered key, in bytes: they take 1 MiB at most
	countOfIgnored   = "redaction.ignored.count"
	countOfAllowed   = "redaction.allowed.count"
	countOfMasked    = "redaction.masked.count"
	countOfBodyParts = "redaction.body.masked.count"
)

// meaning is what a key says about its value.
type meaning uint8

const (
	typed   meaning = 1 << iota // a value of any type is hidden
	secret                      // text is hidden
	counter                     // a count of the contrib processors, which is removed
)

// keys knows what keys mean. It remembers the answers, since services use the same keys again and again.
type keys struct {
	flags, typed, harmless, secret []*regexp.Regexp
	lock                           sync.RWMutex
	remembered                     map[string]meaning
	known                          map[string]meaning
}

func newKeys(config *Config) (*keys, error) {
	made := &keys{remembered: map[string]meaning{}, known: make(map[string]meaning, len(config.KnownKeys)+2)}
	for _, key := range config.KnownKeys {
		made.known[key] = 0
	}
	made.known[countOfIgnored], made.known[countOfAllowed] = counter, counter
	for _, list := range []struct {
		patterns []string
		compiled *[]*regexp.Regexp
	}{
		{config.Flags, &made.flags},
		{config.Typed, &made.typed},
		{config.Harmless, &made.harmless},
		{config.Secret, &made.secret},
	} {
		for _, pattern := range list.patterns {
			compiled, err := regexp.Compile(pattern)
			if err != nil {
				return nil, err
			}
			*list.compiled = append(*list.compiled, compiled)
		}
	}
	return made, nil
}

func (k *keys) meaning(key string) meaning {
	if answer, ok := k.known[key]; ok {
		return answer
	}
	k.lock.RLock()
	answer, ok := k.remembered[key]
	k.lock.RUnlock()
	if ok {
		return answer
	}
	if matches(k.typed, key) && !matches(k.flags, key) {
		answer |= typed
	}
	if matches(k.secret, key) && !matches(k.harmless, key) {
		answer |= secret
	}
	if len(key) <= longestKey {
		k.lock.Lock()
		if len(k.remembered) >= rememberedKeys {
			clear(k.remembered)
		}
		k.remembered[strings.Clone(key)] = answer
		k.lock.Unlock()
	}
	return answer
}

func matches(expressions []*regexp.Regexp, text string) bool {
	for _, expression := range expressions {
		if expression.MatchString(text) {
			return true
		}
	}
	return false
}
