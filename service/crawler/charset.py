"""Which character set a page is in, found as browsers find it (WHATWG's standards of encodings and of HTML)."""

from __future__ import annotations

import re
from typing import Final

from webencodings import UTF8, Encoding, IncrementalDecoder, lookup

HEAD_BYTES: Final = 1024
"""How far into a page its own word about its character set counts."""
_LONGEST_HEADER: Final = 1000
_HEADER = re.compile(r""";\s*charset\s*=\s*["']?([^\s"';,]+)""", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_META = re.compile(rb"""<meta[\s/](?:[^>]*?[\s"';/])?charset\s*=\s*["']?\s*([^\s"'/>;]+)""", re.IGNORECASE)
_XML = re.compile(rb"""<\?xml\s[^>]*?encoding\s*=\s*["']([^"']+)["']""")


def decoder(content_type: str, head: bytes) -> IncrementalDecoder:
    """Decodes a page with this Content-Type, whose first `HEAD_BYTES` are `head`.

    A byte order mark decides, then the header, then the page itself; else it is UTF-8. Names that no browser knows,
    such as Python's `hex`, are no character sets.
    """
    media_type, _, parameters = content_type[:_LONGEST_HEADER].partition(";")
    found = _HEADER.search(f";{parameters}")
    named = lookup(found[1]) if found else None
    if named is None and media_type.strip().lower() != "text/plain":
        named = _from_page(head[:HEAD_BYTES])
    return IncrementalDecoder(named or UTF8)


def _from_page(head: bytes) -> Encoding | None:
    labels = [*_XML.findall(head[:HEAD_BYTES]), *_META.findall(_COMMENT.sub(b"", head))]
    known = (lookup(label.decode("latin-1")) for label in labels)
    named = next((encoding for encoding in known if encoding), None)
    if named is None:
        return None
    if named.name.startswith("utf-16"):  # it could not have been read if it were
        return UTF8
    return lookup("windows-1252") if named.name == "x-user-defined" else named
