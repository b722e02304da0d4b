"""Finds the character set of a page as browsers do (WHATWG's standards of encodings, HTML and MIME types)."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from webencodings import UTF8, Encoding, IncrementalDecoder, lookup

HEAD_BYTES: Final = 1024
"""A declaration of the character set inside a page counts only within these first bytes."""
_LONGEST_HEADER: Final = 1000
_PARAMETER = re.compile(
    r""";\s*(?:(?P<name>[^;=\s]++)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"? | (?P<plain>[^;]*+)))?+[^;]*+""",
    re.VERBOSE | re.DOTALL,
)
_LABEL = re.compile(r"""["']?([^\s"',]+)""")
# Markup that begins with "<", as the standard distinguishes it.
_MARKUP = re.compile(rb"<(?:(?P<comment>!--)|(?P<tag>/?[A-Za-z][^\s/>]*+)|[!/?][^>]*+(?:>|\Z))")
_ATTRIBUTE = re.compile(
    rb"""[\s/]*+ (?P<name>[^\s/>][^\s/>=]*+)
    (?:\s*+ = \s*+ (?:"(?P<double>[^"]*+)(?:"|\Z) | '(?P<single>[^']*+)(?:'|\Z) | (?P<bare>[^\s"'>][^\s>]*+)
    | (?=>|\Z)))?+""",
    re.VERBOSE,
)
_END_OF_TAG = re.compile(rb"[\s/]*+>")
_CONTENT = re.compile(rb"""charset\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s;"'][^\s;]*+))""", re.IGNORECASE)
_XML = re.compile(rb"""\s*<\?xml\s[^>]*?encoding\s*=\s*["']([^"']+)["']""")


def decoder(content_type: str, head: bytes) -> IncrementalDecoder:
    """A decoder for a page with this Content-Type, whose first `HEAD_BYTES` are `head`.

    A byte order mark decides; then the header, then the page itself; UTF-8 otherwise. Names that no browser knows, such
    as Python's `hex`, are no character sets.
    """
    media_type, separator, parameters = content_type[:_LONGEST_HEADER].partition(";")
    encoding = _from_header(separator + parameters)
    if encoding is None and media_type.strip().lower() != "text/plain":
        encoding = _from_page(head[:HEAD_BYTES])
    return IncrementalDecoder(encoding or UTF8)


def _from_header(parameters: str) -> Encoding | None:
    for parameter in _PARAMETER.finditer(parameters):
        if (parameter["name"] or "").lower() == "charset":
            label = _LABEL.match(parameter["quoted"] or parameter["plain"] or "")
            return lookup(label[1]) if label else None
    return None


def _from_page(head: bytes) -> Encoding | None:
    xml = _XML.match(head)
    labels = [xml[1]] if xml else []
    labels += _labels(head)
    encodings = (lookup(label.decode("latin-1")) for label in labels)
    encoding = next((encoding for encoding in encodings if encoding), None)
    if encoding is None:
        return None
    if encoding.name.startswith("utf-16"):  # the declaration would be unreadable if the page were UTF-16
        return UTF8
    return lookup("windows-1252") if encoding.name == "x-user-defined" else encoding


def _labels(head: bytes) -> Iterator[bytes]:
    """The character sets that the `meta` elements name, in their order."""
    position = 0
    while markup := _MARKUP.search(head, position):
        position = markup.end()
        if markup["comment"]:
            # The hyphens of the start may also be those of the end: <!--> is a comment.
            if (end := head.find(b"-->", position - 2)) < 0:
                return
            position = end + 3
        elif markup["tag"]:
            attributes: dict[bytes, bytes] = {}
            while attribute := _ATTRIBUTE.match(head, position):
                position = attribute.end()
                value = attribute["double"] or attribute["single"] or attribute["bare"] or b""
                # Of two attributes with one name, the first counts.
                attributes.setdefault(attribute["name"].lower(), value)
            if _END_OF_TAG.match(head, position) is None:
                return  # the head ends within the tag
            if markup["tag"].lower() == b"meta":
                yield from _named(attributes)


def _named(attributes: Mapping[bytes, bytes]) -> Iterator[bytes]:
    if b"charset" in attributes:
        yield attributes[b"charset"].strip()
    elif attributes.get(b"http-equiv", b"").lower() == b"content-type" and (
        content := _CONTENT.search(attributes.get(b"content", b""))
    ):
        yield content[1] or content[2] or content[3] or b""
