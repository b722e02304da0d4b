"""Title and text out of HTML, as its pieces arrive: no page is ever held, as text or as a tree."""

from __future__ import annotations

import contextlib

from lxml import etree

_UNSEEN = frozenset({"script", "style", "noscript", "template", "svg"})
# A title in one of these is that of a drawing, a formula or the like.
_NOT_THE_PAGE = _UNSEEN | {"math"}
_LONGEST_TITLE = 300
_LONGEST_TEXT = 2000
# The parser looks through all open elements for an end tag that fits none: without a limit, 2 MB of `<b>` and `</i>`
# take minutes. With this one they take 0.3 s.
_DEEPEST = 256
_PIECE = 64 * 1024


class _Enough(Exception):
    """All that is wanted was read, or the rest costs too much."""


class _Text:
    """The beginning of a text, blanks collapsed; takes time in proportion to what is added, and constant memory."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._pieces: list[str] = []
        self._length = 0
        self.is_full = False

    def add(self, piece: str) -> None:
        if self.is_full:
            return
        self._pieces.append(piece)
        self._length += len(piece)
        if self._length > 4 * self._longest:
            joined = "".join(self._pieces)
            collapsed = " ".join(joined.split())
            self.is_full = len(collapsed) >= self._longest
            self._pieces = [collapsed[: self._longest], " " if joined[-1].isspace() else ""]
            self._length = len(collapsed)

    def __str__(self) -> str:
        return " ".join("".join(self._pieces).split())[: self._longest]


class _Target:
    """What the parser calls."""

    def __init__(self) -> None:
        self.title = _Text(_LONGEST_TITLE)
        self.text = _Text(_LONGEST_TEXT)
        self._depth = 0
        self._in_title = 0
        self._has_title = False
        self._unseen = 0
        self._elsewhere = 0
        self._between = ""

    def start(self, tag: str, _attributes: object) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Enough
        self._between = " "
        if tag == "title":
            self._in_title += 1
            return
        self._unseen += tag in _UNSEEN
        self._elsewhere += tag in _NOT_THE_PAGE

    def end(self, tag: str) -> None:
        self._depth -= 1
        self._between = " "
        if tag == "title":
            self._in_title -= 1
            self._has_title = self._has_title or not self._elsewhere
            return
        self._unseen -= tag in _UNSEEN
        self._elsewhere -= tag in _NOT_THE_PAGE

    def data(self, data: str) -> None:
        if self._in_title:
            if self._has_title or self._elsewhere:
                return
            wanted = self.title
        elif self._unseen:
            return
        else:
            wanted = self.text
        wanted.add(self._between + data)
        self._between = ""
        if (self._has_title or self.title.is_full) and self.text.is_full:
            raise _Enough

    def close(self) -> None:
        """Nothing to do."""


class PageReader:
    """Reads HTML piece by piece. Never raises on broken HTML."""

    def __init__(self) -> None:
        self._target = _Target()
        self._parser = etree.HTMLParser(target=self._target, encoding="utf-8")
        self._ended = False

    def feed(self, html: str) -> None:
        """The next piece of the page; as many characters as a network packet has, not all of it at once."""
        if self._ended or not html:
            return
        try:
            # The database takes no NUL, and JSON no lone surrogate.
            self._parser.feed(html.replace("\x00", " ").encode("utf-8", "replace"))
        except (_Enough, etree.LxmlError):
            self._ended = True

    def close(self) -> tuple[str, str]:
        """(title, beginning of the visible text) of all that was fed, blanks collapsed; both may be empty."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(_Enough, etree.LxmlError):
                self._parser.close()
        return str(self._target.title), str(self._target.text)


def extract(html: str) -> tuple[str, str]:
    """(title, beginning of the visible text), blanks collapsed; both may be empty. Never raises on broken HTML."""
    reader = PageReader()
    for start in range(0, len(html), _PIECE):
        reader.feed(html[start : start + _PIECE])
    return reader.close()
