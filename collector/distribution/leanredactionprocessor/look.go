package leanredactionprocessor

import (
	"fmt"
	"math/bits"
	"strings"
)

const mostLists = 60 // each has a bit of a word

// firstLook tells in one pass over a text which shapes it can have. Most texts can have none.
type firstLook struct {
	lower  [256]byte
	single [256]uint64        // byte → the lists that it is in
	pairs  [1 << 10]uint64    // the first two bytes of all literals: a bit for each
	starts map[uint][]literal // first two bytes → literals
	shapes []needs
	digits int // a text with a shorter run of digits and without any literal has no shape
}

type literal struct {
	text  string
	lists uint64
}

// needs is what a text must have for one shape.
type needs struct {
	lists  uint64
	digits int
	length int
}

func newFirstLook(expressions []string) (*firstLook, error) {
	made := &firstLook{digits: 1 << 30, starts: map[uint][]literal{}}
	for index := range made.lower {
		made.lower[index] = strings.ToLower(string(rune(index)))[0]
		if index > 127 {
			made.lower[index] = byte(index)
		}
	}
	next := 0
	for _, expression := range expressions {
		required, err := newRequired(expression)
		if err != nil {
			return nil, err
		}
		shape := needs{digits: required.digits, length: required.length}
		for _, list := range required.literals {
			if len(list) > 1 && (shortest(list) == 1 || required.digits > 0) {
				continue // too many texts have one of them
			}
			bit := uint64(1) << next
			shape.lists |= bit
			for _, text := range list {
				made.add(text, bit)
			}
			next++
		}
		if next >= mostLists || len(made.shapes) >= mostLists {
			return nil, fmt.Errorf("the expressions have more than %d lists of literals, or are more", mostLists)
		}
		if shape.lists == 0 {
			made.digits = min(made.digits, shape.digits)
		}
		made.shapes = append(made.shapes, shape)
	}
	// In expressions without case, ſ is an s and the sign of Kelvin is a k.
	made.add("\u017f", 1<<next-1)
	made.add("\u212a", 1<<next-1)
	return made, nil
}

func (l *firstLook) add(text string, lists uint64) {
	first := text[0]
	if len(text) == 1 {
		l.single[first] |= lists
		return
	}
	pair := uint(first)<<8 | uint(text[1])
	l.starts[pair] = append(l.starts[pair], literal{text, lists})
	l.pairs[pair>>6] |= 1 << (pair & 63)
}

// possible returns the shapes that the text can have: a bit for each.
func (l *firstLook) possible(text string) uint64 {
	var seen uint64
	var before uint
	run, longest := 0, 0
	for index := range len(text) {
		char := l.lower[text[index]]
		seen |= l.single[char]
		pair := (before<<8 | uint(char)) & 0xffff
		if l.pairs[pair>>6]&(1<<(pair&63)) != 0 {
			seen |= l.at(pair, text[index-1:])
		}
		before = uint(char)
		if char-'0' <= 9 {
			run++
			longest = max(longest, run)
		} else {
			run = 0
		}
	}
	if seen == 0 && longest < l.digits {
		return 0
	}
	var shapes uint64
	for index, shape := range l.shapes {
		if shape.lists&^seen == 0 && shape.digits <= longest && shape.length <= len(text) {
			shapes |= 1 << index
		}
	}
	return shapes
}

// at returns the lists whose literals the text begins with.
func (l *firstLook) at(pair uint, text string) uint64 {
	var lists uint64
	for _, literal := range l.starts[pair] {
		if len(literal.text) <= len(text) && l.same(text[:len(literal.text)], literal.text) {
			lists |= literal.lists
		}
	}
	return lists
}

func (l *firstLook) same(text, literal string) bool {
	for index := range len(literal) {
		if l.lower[text[index]] != literal[index] {
			return false
		}
	}
	return true
}

// each calls `use` with the number of each bit that is set.
func each(set uint64, use func(int)) {
	for ; set != 0; set &= set - 1 {
		use(bits.TrailingZeros64(set))
	}
}
