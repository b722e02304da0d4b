"""Title and text out of HTML, with nothing but the standard library."""

from __future__ import annotations

from html.parser import HTMLParser

_UNSEEN = frozenset({"script", "style", "noscript", "template", "svg"})
_LONGEST_TITLE = 300
_LONGEST_TEXT = 2000


class _TextParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.text: list[str] = []
        self._in_title = False
        self._unseen = 0

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title":
            self._in_title = True
        elif tag in _UNSEEN:
            self._unseen += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._unseen:
            self.text.append(data)


def extract(html: str) -> tuple[str, str]:
    """(title, beginning of the visible text), blanks collapsed; both may be empty. Never raises on broken HTML."""
    parser = _TextParser()
    # The standard parser asserts on some broken declarations; what was read before them is still good.
    try:
        parser.feed(html)
        parser.close()
    except (AssertionError, ValueError):
        pass
    return _collapse(parser.title)[:_LONGEST_TITLE], _collapse(parser.text)[:_LONGEST_TEXT]


def _collapse(pieces: list[str]) -> str:
    # The database takes no NUL, and JSON no lone surrogate.
    joined = " ".join(pieces).replace("\x00", " ").encode("utf-8", "replace").decode("utf-8")
    return " ".join(joined.split())
