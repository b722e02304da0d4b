"""Which character set a page is in, found as browsers find it (WHATWG's standards of encodings, HTML, MIME types)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from webencodings import UTF8, Encoding, IncrementalDecoder, lookup

HEAD_BYTES: Final = 1024
"""How far into a page its own word about its character set counts."""
_LONGEST_HEADER: Final = 1000
_PARAMETER = re.compile(
    r""";\s*(?:(?P<name>[^;=\s]++)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"? | (?P<plain>[^;]*+)))?+[^;]*+""",
    re.VERBOSE | re.DOTALL,
)
_LABEL = re.compile(r"""["']?([^\s"',]+)""")
# What begins with "<", in the ways that the standard tells apart.
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
    """Decodes a page with this Content-Type, whose first `HEAD_BYTES` are `head`.

    A byte order mark decides, then the header, then the page itself; else it is UTF-8. Names that no browser knows,
    such as Python's `hex`, are no character sets.
    """
    media_type, separator, parameters = content_type[:_LONGEST_HEADER].partition(";")
    named = _from_header(separator + parameters)
    if named is None and media_type.strip().lower() != "text/plain":
        named = _from_page(head[:HEAD_BYTES])
    return IncrementalDecoder(named or UTF8)


def _from_header(parameters: str) -> Encoding | None:
    for found in _PARAMETER.finditer(parameters):
        if (found["name"] or "").lower() == "charset":
            label = _LABEL.match(found["quoted"] or found["plain"] or "")
            return lookup(label[1]) if label else None
    return None


def _from_page(head: bytes) -> Encoding | None:
    xml = _XML.match(head)
    labels = [xml[1]] if xml else []
    labels += _labels(head)
    known = (lookup(label.decode("latin-1")) for label in labels)
    named = next((encoding for encoding in known if encoding), None)
    if named is None:
        return None
    if named.name.startswith("utf-16"):  # it could not have been read if it were
        return UTF8
    return lookup("windows-1252") if named.name == "x-user-defined" else named


def _labels(head: bytes) -> Iterator[bytes]:
    """What the `meta` elements name, in their order."""
    at = 0
    while found := _MARKUP.search(head, at):
        at = found.end()
        if found["comment"]:
            # The hyphens of its beginning may be those of its end as well: <!--> is a comment.
            if (end := head.find(b"-->", at - 2)) < 0:
                return
            at = end + 3
        elif found["tag"]:
            attributes: dict[bytes, bytes] = {}
            while one := _ATTRIBUTE.match(head, at):
                at = one.end()
                # Of two with one name the first counts.
                attributes.setdefault(one["name"].lower(), one["double"] or one["single"] or one["bare"] or b"")
            if _END_OF_TAG.match(head, at) is None:
                return  # the head ends within the tag
            if found["tag"].lower() == b"meta":
                yield from _named(attributes)


def _named(attributes: Mapping[bytes, bytes]) -> Iterator[bytes]:
    if b"charset" in attributes:
        yield attributes[b"charset"].strip()
    elif attributes.get(b"http-equiv", b"").lower() == b"content-type" and (
        found := _CONTENT.search(attributes.get(b"content", b""))
    ):
        yield found[1] or found[2] or found[3] or b""
