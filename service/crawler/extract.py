"""Reads title and text of HTML piece by piece, without a whole page in memory, as text or as a tree."""

import contextlib

from lxml import etree

_INVISIBLE = frozenset({"script", "style", "noscript", "template", "svg"})
# A title inside one of these belongs to a drawing or a formula, not to the page.
_FOREIGN = _INVISIBLE | {"math"}
_LONGEST_TITLE = 300
_LONGEST_TEXT = 2000
# For an end tag that matches no element, the parser searches all open elements: without a limit, 2 MB of `<b>` and
# `</i>` take minutes. With this limit they take 0.3 s.
_DEEPEST = 256


class _Enough(Exception):
    """Title and text are complete, or the rest of the page costs too much."""


class _Text:
    """The beginning of a text, blanks collapsed. Takes time in proportion to its input, and constant memory."""

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
    """The parser's callbacks."""

    def __init__(self) -> None:
        self.title = _Text(_LONGEST_TITLE)
        self.text = _Text(_LONGEST_TEXT)
        self._depth = 0
        self._title_depth = 0
        self._has_title = False
        self._invisible_depth = 0
        self._foreign_depth = 0
        self._separator = ""

    def start(self, tag: str, _attributes: object) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Enough
        self._separator = " "
        if tag == "title":
            self._title_depth += 1
            return
        self._invisible_depth += tag in _INVISIBLE
        self._foreign_depth += tag in _FOREIGN

    def end(self, tag: str) -> None:
        self._depth -= 1
        self._separator = " "
        if tag == "title":
            self._title_depth -= 1
            self._has_title = self._has_title or not self._foreign_depth
            return
        self._invisible_depth -= tag in _INVISIBLE
        self._foreign_depth -= tag in _FOREIGN

    def data(self, data: str) -> None:
        if self._title_depth:
            if self._has_title or self._foreign_depth:
                return
            target = self.title
        elif self._invisible_depth:
            return
        else:
            target = self.text
        target.add(self._separator + data)
        self._separator = ""
        if (self._has_title or self.title.is_full) and self.text.is_full:
            raise _Enough

    def close(self) -> None:
        """Does nothing; the parser requires it."""


class PageReader:
    """Reads HTML piece by piece. Never raises on broken HTML."""

    def __init__(self) -> None:
        self._target = _Target()
        self._parser = etree.HTMLParser(target=self._target, encoding="utf-8")
        self._ended = False

    def feed(self, html: str) -> None:
        """Reads the next piece of the page; a piece is about as long as a network packet."""
        if self._ended or not html:
            return
        try:
            # The database stores no NUL, and JSON has no lone surrogate.
            self._parser.feed(html.replace("\x00", " ").encode("utf-8", "replace"))
        except (_Enough, etree.LxmlError):
            self._ended = True

    def close(self) -> tuple[str, str]:
        """(title, beginning of the visible text) of the page, blanks collapsed; both may be empty."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(_Enough, etree.LxmlError):
                self._parser.close()
        return str(self._target.title), str(self._target.text)
