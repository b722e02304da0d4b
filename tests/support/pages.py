"""Pages of 2 MB, or 250 kB in `make unit`, whose shape is expensive for a careless parser; and their reading."""

from collections.abc import Callable

from service.crawler.extract import PageReader
from tests.support.profiles import is_quick

_PIECE = 64 * 1024


def extract(html: str) -> tuple[str, str]:
    """(title, beginning of the visible text) of a page."""
    reader = PageReader()
    for start in range(0, len(html), _PIECE):
        reader.feed(html[start : start + _PIECE])
    return reader.close()


LENGTH = 250_000 if is_quick() else 2_000_000


def _repeat(piece: str, head: str = "") -> Callable[[], str]:
    return lambda: head + piece * ((LENGTH - len(head)) // len(piece))


def _numbered(pattern: str, head: str = "") -> Callable[[], str]:
    return lambda: head + "".join(map(pattern.format, range(LENGTH // (len(pattern) + 4))))


def _halves(first: str, second: str, depth: int = LENGTH) -> Callable[[], str]:
    """As many of `first` as `depth` says, half of the page at most, and `second` for the rest."""
    opened = min(depth, LENGTH // 2 // len(first))
    return lambda: first * opened + second * ((LENGTH - opened * len(first)) // len(second))


SHAPES: dict[str, Callable[[], str]] = {
    "tags without an end": _repeat("<a "),
    "tags": _repeat("<a>"),
    "end tags": _repeat("</a>"),
    "end tags without an end": _repeat("</a "),
    "nested": _repeat("<div>"),
    "nested, then end tags that fit none": _halves("<div>", "</b>"),
    "nested to the limit, then end tags that fit none": _halves("<div>", "</b>", 250),
    "inline, then end tags that fit none": _halves("<b>", "</i>", 250),
    "inline, then paragraphs": _halves("<b>", "<p>", 250),
    "formatting to be made again": _numbered("<b a={}>"),
    "paragraphs": _repeat("<p>"),
    "tables": _repeat("<table>"),
    "cells": _repeat("<td>"),
    "lists": _repeat("<li>"),
    "selections": _repeat("<select>"),
    "links in links": _repeat("<a href=x>"),
    "frames": _repeat("<frameset>"),
    "less-than signs": _repeat("<"),
    "greater-than signs": _repeat(">"),
    "declarations": _repeat("<!"),
    "document types": _repeat("<!DOCTYPE "),
    "processing instructions": _repeat("<?"),
    "bogus comments": _repeat("</ >"),
    "half end tags": _repeat("</"),
    "comments without an end": _repeat("<!--"),
    "a comment of hyphens": _repeat("-", "<!--"),
    "comments that almost end": _repeat("<!-- --"),
    "character data": _repeat("<![CDATA["),
    "double quotes": _repeat('<a b="'),
    "single quotes": _repeat("<a b='"),
    "mixed quotes": _repeat("<a b='\"><a c=\"'>"),
    "equals signs": _repeat("=", "<a "),
    "blanks in a tag": _repeat(" ", "<a "),
    "blanks before a value": _repeat(" ", "<a b="),
    "many attributes": _numbered("a{}=1 ", "<a "),
    "one attribute again and again": _repeat("a=1 ", "<a "),
    "a long name": _repeat("a", "<"),
    "slashes": _repeat("<a/"),
    "ampersands": _repeat("&"),
    "half references": _repeat("&#"),
    "a long number": _repeat("9", "&#"),
    "a long reference": _repeat("a", "&"),
    "references": _repeat("&amp;"),
    "references without an end": _repeat("&notit"),
    "scripts": _repeat("<script>"),
    "a script that almost ends": _repeat("</scrip ", "<script>"),
    "scripts in a comment": _repeat("<script>", "<script><!--"),
    "styles": _repeat("<style>"),
    "titles without an end": _repeat("<title>"),
    "titles": _repeat("<title>a</title>"),
    "a title that almost ends": _repeat("</titl ", "<title>"),
    "text areas": _repeat("<textarea>"),
    "drawings": _repeat("<svg>"),
    "drawings that end": _repeat("<svg/>"),
    "templates": _repeat("<template>"),
    "plain text": _repeat("<plaintext>"),
    "examples": _repeat("<xmp>"),
    "NUL": _repeat("\x00"),
    "tags of NUL": _repeat("<\x00>"),
    "blanks": _repeat(" "),
    "line ends": _repeat("\r\n"),
    "one word": _repeat("a"),
    "words": _repeat("a "),
    "words no one sees": _repeat("<script>a</script>"),
    "lone surrogates": _repeat("\ud800"),
    "astral characters": _repeat("\N{GRINNING FACE}"),
    "blanks of other scripts": _repeat("\u3000"),
}
"""By their shape; each makes its page."""
