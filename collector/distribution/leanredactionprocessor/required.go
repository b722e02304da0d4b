package leanredactionprocessor

import (
	"regexp/syntax"
	"strings"
	"unicode"
)

const (
	mostLiterals = 1024 // of one list
	mostRepeated = 16   // members of a repeated class, each of which makes literals one character longer
)

// required is what every match of an expression has. It is derived from the expression, so it cannot miss a match.
type required struct {
	// literals: each match has one of every list. They are in lower case.
	literals [][]string
	// digits: each match has a run of as many digits.
	digits int
	// length: each match has as many characters.
	length int
}

func newRequired(expression string) (required, error) {
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return required{}, err
	}
	digits, _ := digitsOf(parsed)
	return required{literals: literalsOf(parsed).lists(), digits: digits, length: lengthOf(parsed)}, nil
}

// part describes the matches of a part of an expression.
type part struct {
	exact  []string   // all of its matches in lower case, or nil if they are too many
	starts []string   // if they are too many: each match starts with one of these, or nil
	needed [][]string // each match has one of every list
}

var empty = []string{""}

func literalsOf(re *syntax.Regexp) part {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return part{exact: empty}
	case syntax.OpLiteral:
		if text := string(re.Rune); isASCII(text) {
			return part{exact: []string{strings.ToLower(text)}}
		}
	case syntax.OpCharClass:
		return part{exact: members(re.Rune)}
	case syntax.OpCapture:
		return literalsOf(re.Sub[0])
	case syntax.OpQuest:
		if sub := literalsOf(re.Sub[0]); sub.exact != nil {
			return part{exact: distinct(append(empty, sub.exact...))}
		}
	case syntax.OpPlus, syntax.OpRepeat:
		if sub := literalsOf(re.Sub[0]); re.Op == syntax.OpPlus || re.Min > 0 {
			one := part{needed: sub.lists()}
			if len(sub.exact) <= mostRepeated {
				one.starts = sub.exact
			}
			return one
		}
	case syntax.OpConcat:
		return concatenated(re.Sub)
	case syntax.OpAlternate:
		return alternated(re.Sub)
	}
	return part{}
}

func concatenated(subs []*syntax.Regexp) part {
	run, whole := empty, part{exact: empty}
	for _, sub := range subs {
		one := literalsOf(sub)
		if joined := product(run, one.exact); joined != nil {
			run = joined
			continue
		}
		if joined := product(run, one.starts); joined != nil {
			run = joined
		}
		if whole.exact != nil {
			whole = part{starts: run}
		}
		whole.needed = append(append(whole.needed, part{exact: run}.lists()...), one.needed...)
		if run = one.exact; run == nil {
			run = empty
		}
	}
	if whole.exact != nil {
		return part{exact: run}
	}
	whole.needed = append(whole.needed, part{exact: run}.lists()...)
	return whole
}

func alternated(subs []*syntax.Regexp) part {
	var exact, starts, needed []string
	isExact, hasStarts, isNeeded := true, true, true
	for _, sub := range subs {
		one := literalsOf(sub)
		best := longest(one.lists())
		isExact = isExact && one.exact != nil
		hasStarts = hasStarts && one.prefixes() != nil
		isNeeded = isNeeded && best != nil
		exact, starts, needed = append(exact, one.exact...), append(starts, one.prefixes()...), append(needed, best...)
	}
	if isExact && len(exact) <= mostLiterals {
		return part{exact: distinct(exact)}
	}
	var whole part
	if hasStarts && len(starts) <= mostLiterals {
		whole.starts = distinct(starts)
	}
	if isNeeded && len(needed) <= mostLiterals {
		whole.needed = [][]string{distinct(needed)}
	}
	return whole
}

// prefixes returns texts of which each match starts with one, or nil.
func (p part) prefixes() []string {
	if p.exact != nil {
		return p.exact
	}
	return p.starts
}

// lists returns what each match needs. A part that can match the empty text needs nothing.
func (p part) lists() [][]string {
	if p.exact != nil && !contains(p.exact, "") {
		return [][]string{p.exact}
	}
	return p.needed
}

// longest returns the list whose shortest literal is the longest: it is in the fewest texts.
func longest(lists [][]string) []string {
	var best []string
	for _, list := range lists {
		if best == nil || shortest(list) > shortest(best) {
			best = list
		}
	}
	return best
}

func shortest(list []string) int {
	length := len(list[0])
	for _, literal := range list {
		length = min(length, len(literal))
	}
	return length
}

func product(starts, ends []string) []string {
	if ends == nil || len(starts)*len(ends) > mostLiterals {
		return nil
	}
	var joined []string
	for _, start := range starts {
		for _, end := range ends {
			joined = append(joined, start+end)
		}
	}
	return distinct(joined)
}

// members returns the characters of a small class in lower case, or nil. `ranges` are pairs of first and last.
func members(ranges []rune) []string {
	var characters []string
	for index := 0; index < len(ranges); index += 2 {
		for character := ranges[index]; character <= ranges[index+1]; character++ {
			if isFolded(character) {
				continue // firstLook lets every text with one of these pass
			}
			if character > unicode.MaxASCII || len(characters) > 32 {
				return nil
			}
			characters = append(characters, strings.ToLower(string(character)))
		}
	}
	return distinct(characters)
}

// isFolded tells whether a character that is not ASCII matches a letter if the case is ignored: ſ as s, K as k.
func isFolded(character rune) bool { return character == 'ſ' || character == '\u212A' }

// digitsOf returns the length of a run of digits that each match has, and whether a match has nothing but digits.
func digitsOf(re *syntax.Regexp) (run int, alone bool) {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return 0, true
	case syntax.OpLiteral:
		return digitsIn(len(re.Rune), func(index int) (int, bool) { return digitsInClass(re.Rune[index], re.Rune[index]) })
	case syntax.OpCharClass:
		return digitsInClass(re.Rune[0], re.Rune[len(re.Rune)-1])
	case syntax.OpCapture, syntax.OpPlus:
		return digitsOf(re.Sub[0])
	case syntax.OpQuest, syntax.OpStar:
		_, alone = digitsOf(re.Sub[0])
		return 0, alone
	case syntax.OpRepeat:
		run, alone = digitsOf(re.Sub[0])
		if alone || re.Min == 0 {
			run *= re.Min
		}
		return run, alone
	case syntax.OpConcat:
		return digitsIn(len(re.Sub), func(index int) (int, bool) { return digitsOf(re.Sub[index]) })
	case syntax.OpAlternate:
		run, alone = digitsOf(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			other, digits := digitsOf(sub)
			run, alone = min(run, other), alone && digits
		}
		return run, alone
	}
	return 0, false
}

// digitsIn returns the same for parts that follow each other.
func digitsIn(parts int, of func(int) (int, bool)) (run int, alone bool) {
	best := 0
	alone = true
	for index := range parts {
		length, digits := of(index)
		if digits {
			run += length
		} else {
			run, alone = 0, false
		}
		best = max(best, run, length)
	}
	return best, alone
}

func digitsInClass(first, last rune) (run int, alone bool) {
	if first >= '0' && last <= '9' {
		return 1, true
	}
	return 0, false
}

// lengthOf returns how many characters the shortest match has.
func lengthOf(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return lengthOf(re.Sub[0])
	case syntax.OpRepeat:
		return re.Min * lengthOf(re.Sub[0])
	case syntax.OpConcat:
		length := 0
		for _, sub := range re.Sub {
			length += lengthOf(sub)
		}
		return length
	case syntax.OpAlternate:
		length := lengthOf(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			length = min(length, lengthOf(sub))
		}
		return length
	}
	return 0
}

func isASCII(text string) bool {
	for index := range len(text) {
		if text[index] > unicode.MaxASCII {
			return false
		}
	}
	return true
}

func distinct(texts []string) []string {
	seen := make(map[string]bool, len(texts))
	kept := texts[:0:0]
	for _, text := range texts {
		if !seen[text] {
			seen[text] = true
			kept = append(kept, text)
		}
	}
	return kept
}

func contains(texts []string, wanted string) bool {
	for _, text := range texts {
		if text == wanted {
			return true
		}
	}
	return false
}
