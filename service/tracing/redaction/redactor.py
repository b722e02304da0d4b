"""Keeps personal data and secrets out of spans and logs: a keyed hash where values must still be told apart.

What hides a value is its name (`password`, `user_email`, `apiKey`: the table is `names.py`) or its shape (e-mail
address, bearer token, JWT, payment card, private key, credentials and secret parameters of URLs, `name=value` pairs
inside text). What an on-call engineer reads stays: ids, times, versions, digests, routes, SQL with its placeholders,
offsets, numbers.

A value is masked first and cut afterwards: the half of a secret has no shape any more.

Every search is linear by construction: repetitions are bounded or possessive, and those begin only where a run of their
characters begins.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from numbers import Integral, Number
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from service.tracing.redaction import names

REDACTED: Final = "[redacted]"
CUT: Final = " …[cut]"
# Characters of one text, values of one structure, and how deep it may nest; what is beyond is cut, with a mark.
MAX_TEXT: Final = 32_768
MAX_ITEMS: Final = 1_000
MAX_DEPTH: Final = 8

OVERLAP: Final = 1_024
"""Characters that are kept of a text beyond what may be shown of it, so that a secret there is seen whole."""

_SETTLE_ROUNDS = 8
_CACHED_NAMES = 2_048
_CACHED_TEXTS = 1_024
_LONGEST_CACHED_TEXT = 1_024
_LONGEST_CACHED_NAME = 128
# No card has fewer than 13 digits.
_SMALL_NUMBER = 10**12


class _Kind(Enum):
    PLAIN = "shown, its text searched"
    SECRET = "its text hidden; numbers and booleans stay"
    TYPED = "hidden, numbers as well"
    LINE = "hidden, and inside text up to the end of the line: its values hold blanks"
    EMAIL = "hashed"


# --- names ------------------------------------------------------------------------------------------------------------

_HARMLESS, _LINE, _TYPED, _FLAGS, _SECRET, _EMAIL_NAME = (
    re.compile("|".join(patterns))
    for patterns in (names.HARMLESS, names.LINE, names.TYPED, names.FLAG, names.SECRET, names.EMAIL)
)
_PARAMETER = re.compile(names.PARAMETER)


def _kind(name: str) -> _Kind:
    if _HARMLESS.search(name):
        return _Kind.PLAIN
    if _LINE.search(name):
        return _Kind.LINE
    if _SECRET.search(name):
        return _Kind.TYPED if _TYPED.search(name) and not _FLAGS.search(name) else _Kind.SECRET
    return _Kind.EMAIL if _EMAIL_NAME.search(name) else _Kind.PLAIN


def _hints(lowered: str) -> bool:
    for hint in names.HINTS:  # noqa: SIM110 - any() costs three times as much
        if hint in lowered:
            return True
    return False


# --- shapes -----------------------------------------------------------------------------------------------------------

_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,20}-----.*?(?:-----END [A-Z0-9 ]{0,60}-----|\Z)",
    re.DOTALL,
)

_URL_CREDENTIALS = re.compile(r"(?<=://)[^\s/?#]*@")
# A password with a slash in it, which nobody may write but generators make; not a port, after which paths hold "@".
_URL_CREDENTIALS_WITH_SLASH = re.compile(r"(?<=://)[^\s/?#@:]{0,256}:(?![0-9]{1,5}(?:[/?#\s]|\Z))[^\s@]{0,512}@")

# A name and what joins it to its value: `a=`, `a: `, `"a": `, `a => `, `['a'] = `, `a[]=`, `a%3D`, `a%22%3A`, `<a>`,
# `'a', b'`, and, where `_PAIR` finds it as well, `('a', '`.
_NAME = re.compile(
    r"""([\w.-](?<![\w.-].)[\w.-]*+)(?:\\*["']|%(?:25){0,3}2[27])?+(?:\[\]|\]|(?:%5[Bb])?%5[Dd])?+
    (?:\s*+(?:=>|:=|={1,3}|:)|%(?:25){0,3}3[DdAa]|>(?=[^\s<=])|(?<=["']),\s*+(?=[bBuU]?["']|[\[{(]))\s*+""",
    re.VERBOSE | re.DOTALL,
)
# A name and its value that are all of a tuple, or of a list among others.
_PAIR = re.compile(
    r"""(?:\(|(?<=[\[,])\s?\[)\s*+[bBuU]?(?P<q>["'])[\w.-]++(?P=q),\s*+
    (?:[bBuU]?(?P<v>["'])(?:\\.|(?!(?P=v)).)*+(?:(?P=v)\s*+,?\s*+[)\]]|\Z)|[\[{(])""",
    re.VERBOSE | re.DOTALL,
)
_FLAG = re.compile(r"(--[A-Za-z][\w.-]*+)\s++(?!-)")
_UNQUOTED = r"""(?:
    [^\s&;"'<]
    | ["'](?=[^\s,;:.)\]}&"'<>])     # no closing quote: the value goes on
    | &(?![\w.%~\[\]-]{0,64}=)
    | ;(?!\s|\Z|[\w\ .-]{1,64}=)
    | <(?![/\w])
)++"""
_QUOTED = r"""(?:"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|'(?:[^'\\]|\\.)*+(?:'|\\?\Z))++"""
_VALUE = re.compile(
    rf"""[bBrRuUfF]{{0,2}}{_QUOTED}(?:(?=\w){_UNQUOTED})?+
    | (?P<escaped>\\+["'])(?:(?!(?P=escaped)).)*+(?:(?P=escaped)|\Z)
    | (?i:bearer|basic|digest|negotiate|token|apikey)\s++{_UNQUOTED}
    | <(?![/!])[^<>\r\n]*+>
    | {_UNQUOTED}""",
    re.VERBOSE | re.DOTALL,
)
# A list, a map, a tuple, a call: what begins with a bracket ends with that bracket's own end.
_BRACKET = re.compile(r"[A-Za-z_.]{0,64}([\[{(])")
_REST = re.compile(rf"(?=\w){_UNQUOTED}", re.VERBOSE)
# Quoted text, in which a bracket is only a character; the apostrophe inside a word quotes nothing.
_BRACKETS = {
    begin: re.compile(
        rf"""(?<!\w)[bBrRuUfF]{{1,2}}{_QUOTED} | \w'(?=\w) | {_QUOTED}
        | (?P<escaped>\\++["'])(?:(?!(?P=escaped)).)*+(?:(?P=escaped)|\Z) | \\++
        | (?P<begin>\{begin}) | (?P<end>\{end})""",
        re.VERBOSE | re.DOTALL,
    )
    for begin, end in ("[]", "{}", "()")
}
_NUMBERS = re.compile(
    r"""(?:[\[\](){},\s] | \\*"[^"\\]*+\\*"\s*+: | \\*'[^'\\]*+\\*'\s*+:
    | (?:-?[0-9][0-9.]*+(?:[eE][+-]?[0-9]++)?+|[Tt]rue|[Ff]alse|null|None)(?![\w.-]))*+""",
    re.VERBOSE,
)
_KEY = re.compile(r"""(?<![\w.-])([\w.-]++)\\*["']\s*+:""")
_ELEMENT = re.compile(r"<((?:[\w.-]++:)?+([\w.-]++))(?:\s[^<>]*+)?+>")
_LINE_VALUE = re.compile(rf"""b?{_QUOTED}|[^\r\n]++""", re.VERBOSE | re.DOTALL)
_PORT = re.compile(r"[0-9]{1,5}(?:[/?#\s]|\Z)")
_DONE = re.compile(r"""…\[cut\]\Z|\[redacted\](?=[)\]}]*+(?:[,;]?(?:\s|\Z)|[&"'<]))""")
# What stands for a value in SQL and templates, and booleans; a name only where it is that of the column.
_PLACEHOLDER = re.compile(
    r"(?:\?|%s|\$[0-9]{1,3}|None|null|NULL|[Tt]rue|[Ff]alse|:(\w+)|%\((\w+)\)s|\{(\w+)\})[,;)}\]]{0,4}"
)

_SCHEME = re.compile(r"(?<![A-Za-z])(bearer|basic)((?:\s|%20|\+)++)([^\s,;\"'<>\[\]]++)", re.IGNORECASE)
_SCHEME_WORDS = frozenset({"token", "tokens", "auth", "authentication", "authorization", "scheme", "credentials"})
_PLAIN_WORD = re.compile(r"[A-Za-z]?[a-z]*[.:!?)]*")

_JWT = re.compile(r"eyJ[\w-]{7,}+(?:\.[\w-]*+){0,4}=*+", re.ASCII)

# Digits together or in the groups printed on cards, by themselves: not inside a digest, not the fraction of a number,
# not the span id of a traceparent, not our own hash.
_CARD = re.compile(
    r"[2-6](?<![0-9A-Za-z].)(?<![0-9]\..)(?<!email:.)(?<![0-9a-f]{32}-.)"
    r"(?:[0-9]{12,18}+"
    r"|[0-9]{3}(?P<s>[ .+\u00a0\u2010-\u2013-]|%20)[0-9]{4}(?P=s)[0-9]{4}(?P=s)[0-9]{4}(?:(?P=s)[0-9]{1,3})?"
    r"|[0-9]{3}(?P<t>[ .+\u00a0\u2010-\u2013-]|%20)[0-9]{6}(?P=t)[0-9]{4,5})(?![0-9A-Za-z])",
    re.DOTALL,
)
_NO_DIGIT = re.compile(r"%20|[^0-9]")

_LOCAL = r"[\w.+!#$*'^`{|}~-]"
_EMAIL = re.compile(
    rf"""(?P<local>"[^"\n]{{1,64}}+"|(?:{_LOCAL}|%(?!40))(?<!{_LOCAL}.)(?<!%.)(?:{_LOCAL}|%(?!40))*+|[/=?&])
    (?:(?:@|%40)[\w-]++(?:\.[\w-]++)++)++""",
    re.VERBOSE | re.DOTALL,
)
_AT = re.compile("@|%40")
_AROUND_ADDRESS = "'`{|}!#$*^~.+-%"
_HASHED = re.compile(r"email:[0-9a-f]{0,16}")


def _is_card(digits: str) -> bool:
    """Whether an issuer gives out such numbers (Visa, Mastercard, Amex, Diners, JCB, Discover, Maestro, UnionPay)."""
    length = len(digits)
    match digits[0]:
        case "2":
            possible = length == 16 and "2221" <= digits[:4] <= "2720"
        case "3":
            possible = length in ((15,) if digits[1] in "47" else (14, 16, 17, 18, 19))
        case "4":
            possible = length in (13, 16, 19)
        case _:
            possible = True
    # Luhn's sum: every second digit from the right counts double, 9 less where that has two digits.
    return (
        possible
        and not sum(
            int(digit) if place % 2 == 0 else (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[int(digit)]
            for place, digit in enumerate(reversed(digits))
        )
        % 10
    )


def _cards(value: str) -> list[tuple[int, int, str]]:
    """Each card's number: its start, its end and what stands for it."""
    edits: list[tuple[int, int, str]] = []
    at = 0
    while (found := _CARD.search(value, at)) is not None:
        end = found.end()
        separator = found.group("s")
        card = _is_card(_NO_DIGIT.sub("", found.group()))
        if not card and separator and found.group().count(separator) == 4:
            # Four groups, and a number of something else behind them.
            end = found.start() + found.group().rindex(separator)
            card = _is_card(_NO_DIGIT.sub("", value[found.start() : end]))
        if card:
            edits.append((found.start(), end, REDACTED))
        # The group in front of a card may look like the first of its groups.
        at = end if card else found.start() + 1
    return edits


def _without_credentials(match: re.Match[str]) -> str:
    scheme, blank, value = match.groups()
    if value == REDACTED or value.lower().rstrip(".:!?)") in _SCHEME_WORDS:
        return match.group()
    # "Basic" is an English word; what follows it is a secret unless it is one, too.
    if scheme.lower() == "basic" and _PLAIN_WORD.fullmatch(value) and not _holds_user_and_password(value):
        return match.group()
    return f"{scheme}{blank}{REDACTED}"


def _holds_user_and_password(value: str) -> bool:
    try:
        return b":" in base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False


def _is_listed(value: str, pair: re.Match[str]) -> bool:
    """Whether the comma behind a name only parts it from the next word of a list, such as that of a table's columns."""
    joint = value[pair.end(1) : pair.end()]
    if "," not in joint or value.startswith(("b'", 'b"'), pair.end()):
        return False
    return not any(
        _PAIR.match(value, start) for start in range(max(0, pair.start() - 4), pair.start()) if value[start] in "(["
    )


def _is_placeholder(name: str, value: str) -> bool:
    match = _PLACEHOLDER.fullmatch(value)
    if match is None:
        return False
    bound = match.group(1) or match.group(2) or match.group(3)
    return bound is None or bound.startswith(name.rpartition(".")[2])


def _marked(value: str) -> str:
    """The marker, in the quotes of `value` if it has any."""
    quote = value[: len(value) - len(value.lstrip("\\"))] + value.lstrip("\\")[:1]
    return f"{quote}{REDACTED}{quote}" if quote[-1] in "\"'" else REDACTED


def _settled(mask: Callable[[str], str], value: str) -> str:
    """Masks again until nothing changes, so that a second masking, wherever it is done, finds nothing to do."""
    for _ in range(_SETTLE_ROUNDS):
        masked = mask(value)
        if masked == value:
            return masked
        value = masked
    return REDACTED


def _bracketed(value: str, at: int) -> int:
    """The end of what begins with a bracket at `at`; that of the text if the bracket is not closed."""
    found = _BRACKET.match(value, at)
    if found is None:
        return at
    depth = 0
    for part in _BRACKETS[found.group(1)].finditer(value, found.end() - 1):
        if part.lastgroup == "begin":
            depth += 1
        elif part.lastgroup == "end":
            depth -= 1
            if not depth:
                rest = _REST.match(value, part.end())
                return rest.end() if rest is not None else part.end()
    return len(value)


class _Seam:
    """Where a position of a text is after parts of the text were replaced: no later than what stood behind it."""

    __slots__ = ("_shift", "at")

    def __init__(self, at: int) -> None:
        self.at = at
        self._shift = 0

    def replaced(self, start: int, end: int, length: int) -> None:
        """From `start` to `end` there are `length` other characters; all of one pass, in the same coordinates."""
        if start < self.at:
            self._shift += length - (min(end, self.at) - start)

    def passed(self) -> None:
        """The next replacements are in the coordinates of the text as it is now."""
        self.at += self._shift
        self._shift = 0


def _edited(value: str, edits: list[tuple[int, int, str]], seam: _Seam | None) -> str:
    """`value` with other text from each start to each end."""
    if not edits:
        return value
    parts: list[str] = []
    done = 0
    for start, end, text in edits:
        parts += (value[done:start], text)
        done = end
        if seam is not None:
            seam.replaced(start, end, len(text))
    if seam is not None:
        seam.passed()
    return "".join((*parts, value[done:]))


def _replaced(
    pattern: re.Pattern[str], replacement: str | Callable[[re.Match[str]], str], value: str, seam: _Seam | None
) -> str:
    if seam is None:
        return pattern.sub(replacement, value)
    edits: list[tuple[int, int, str]] = []
    for match in pattern.finditer(value):
        text = replacement if isinstance(replacement, str) else replacement(match)
        if text != match.group():
            edits.append((match.start(), match.end(), text))
    return _edited(value, edits, seam)


# Backwards from the end of a cut text: what may be the beginning of an address, or of the credentials of a URL.
_OPEN_ADDRESS = re.compile(rf"(?:{_LOCAL}|%)++")
_OPEN_CREDENTIALS = re.compile(r"[^\s/?#@]*+(?=//:)")


def _open_end(value: str) -> int:
    """Where a secret may begin that only the text behind the cut would show as one; the length of `value` if none."""
    backwards = value[::-1]
    found = [pattern.match(backwards) for pattern in (_OPEN_ADDRESS, _OPEN_CREDENTIALS)]
    return len(value) - max(match.end() if match is not None else 0 for match in found)


def _suspicious(value: str) -> bool:
    """Whether a text may hold anything to mask; wrong only on the safe side."""
    if not value.isascii():
        return True
    if "=" in value or ":" in value or "@" in value or "%" in value or "eyJ" in value or "--" in value or ">" in value:
        return True
    if " " in value or "\t" in value or "+" in value or "\n" in value:
        lowered = value.lower()
        if "bearer" in lowered or "basic" in lowered or "', b'" in value:
            return True
    # Where a pair begins.
    if "," in value and ("('" in value or '("' in value or "['" in value or '["' in value):
        return True
    return len(value) > 12 and _CARD.search(value) is not None


def kept(value: object, limit: int) -> object:
    """As much of a value as has to be kept until it is masked and then cut to `limit` characters.

    A copy where the value's owner could still change it. What is shown of it is the same as of the whole value.
    Never raises: the marker stands for a value that cannot be read.
    """
    kind = type(value)
    if kind is str:
        return value[: limit + OVERLAP + 1]  # type: ignore[index]
    if kind is int or kind is bool or kind is float:
        return value
    try:
        return _kept(value, limit + OVERLAP + 1, _Room(MAX_ITEMS + 1, None))
    except Exception:  # a value of a class whose methods raise
        return REDACTED


def _kept(value: object, length: int, room: _Room) -> object:
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return str.__getitem__(value, slice(length))  # a subclass may have another idea of its length
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value[: 4 * length])  # UTF-8: at most 4 bytes a character
    if not isinstance(value, (Mapping, list, tuple, Set)):
        return value
    if room.depth > MAX_DEPTH:
        return ()
    room.depth += 1
    items: list[tuple[object, object]] = []
    # At once: another thread may change a map or a set meanwhile.
    pairs = value.items() if isinstance(value, Mapping) else ((None, item) for item in value)
    for key, item in list(islice(pairs, room.items)):
        if not room.items:
            break
        room.items -= 1
        items.append((key, _kept(item, length, room)))
    room.depth -= 1
    return dict(items) if isinstance(value, Mapping) else tuple(item for _, item in items)


@dataclass(slots=True)
class _Room:
    """How many more values may be shown, counted down; characters of each text; how deep the current one is nested."""

    items: int
    limit: int | None
    depth: int = 0


def _holds_text(shown: object) -> bool:
    """Whether anything in it is neither a number nor a boolean."""
    if isinstance(shown, dict):
        return any(map(_holds_text, shown.values()))
    if isinstance(shown, list):
        return any(map(_holds_text, shown))
    return isinstance(shown, str) and shown != ""


class Redactor:
    """Masks text, URLs and named values. Hashes of two maskers agree only where their keys do.

    `text`, `url` and `named` never raise, and masking what is masked changes nothing. Should masking itself fail, the
    marker stands for the whole value.
    """

    def __init__(self, key: str | None = None) -> None:
        """`key`: secret shared by all services whose hashes shall agree; None makes a random one for this process."""
        self._key = key.encode() if key else secrets.token_bytes(32)
        self._kinds: dict[str, _Kind] = {}
        # Only texts that hold nothing: a cache of secrets would be one more place to lose them.
        self._harmless: set[str] = set()

    def hash(self, value: str) -> str:
        """16 hex characters of HMAC-SHA-256; case and outer blanks do not count, so one mailbox has one hash."""
        return hmac.new(self._key, value.strip().lower().encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:16]

    def text(self, value: str, limit: int | None = None) -> str:
        """`value` with e-mail addresses as `email:<hash>` and secrets as the marker, cut where it is over MAX_TEXT.

        limit: characters of what is returned, at most; no secret begins to show where the cut is.
        """
        try:
            if type(value) is not str:
                value = str.__str__(value) if isinstance(value, str) else str(value)
            length = len(value)
            if length <= OVERLAP:
                return self._text(value) if limit is None else self._text(value)[:limit]
            most = MAX_TEXT if limit is None else min(MAX_TEXT, limit + OVERLAP)
            masked = self._text(value) if length <= most else self._text_cut(value[:most])
            return masked if limit is None else masked[:limit]
        except Exception:  # whatever it is, the value is not shown for it
            return REDACTED if limit is None else REDACTED[:limit]

    def _text(self, value: str) -> str:
        if len(value) < 5 or value in self._harmless or not _suspicious(value):
            return value
        masked = _settled(self._once, value)
        if masked == value:
            self._remember(value)
        return masked

    def _text_cut(self, value: str) -> str:
        """The beginning of a longer text: without its last OVERLAP characters, where half a secret may be."""
        seam = _Seam(len(value) - OVERLAP)
        opened = _open_end(value)
        if opened < seam.at:
            value = value[:opened] + REDACTED
            seam.at = len(value)
        masked = _settled(lambda text: self._once(text, seam), value)
        # Its end may make the values of names out of what was none.
        return self._text(masked[: min(seam.at, MAX_TEXT - OVERLAP)] + CUT)

    def url(self, value: str) -> str:
        """A URL without credentials, query values and fragment: any of them may carry a secret."""
        try:
            return _settled(self._url_once, value)
        except Exception:
            return REDACTED

    def named(self, name: str, value: object, limit: int | None = None) -> object:
        """`value` as it may be shown under `name`: hashed for e-mail, hidden for secrets, else its text masked.

        Text under the name of a secret is hidden, numbers and booleans stay; a number only not where the secret is
        typed in digits (`password`, `otp`, `cvv`). A structure under such a name is hidden whole if it holds any text.
        Returns None, bool, int, float, str, or lists and dicts of them. Bytes and other objects become text.

        limit: characters of each text in what is returned, at most.
        """
        try:
            return self._masked(name, self._kind(name), value, _Room(MAX_ITEMS, limit))
        except Exception:
            return REDACTED if limit is None else REDACTED[:limit]

    def _kind(self, name: str) -> _Kind:
        kind = self._kinds.get(name)
        if kind is None:
            kind = _kind(name)
            if len(name) <= _LONGEST_CACHED_NAME:
                if len(self._kinds) >= _CACHED_NAMES:
                    self._kinds.clear()
                self._kinds[name] = kind
        return kind

    def _masked(self, name: str, kind: _Kind, value: object, room: _Room) -> object:
        what = type(value)
        if value is None or what is bool:
            return value
        if kind is _Kind.PLAIN and what is str:
            return self.text(value, room.limit)  # type: ignore[arg-type]
        if isinstance(value, Number):
            number = self._masked_number(value)
            if kind is _Kind.PLAIN or (kind is not _Kind.TYPED and not isinstance(number, str)):
                return number[: room.limit] if isinstance(number, str) else number
            value = str(value)
        if isinstance(value, (Mapping, list, tuple, Set)):
            shown = self._masked_all(name, kind, value, room)
            hidden = kind is not _Kind.PLAIN and kind is not _Kind.EMAIL and _holds_text(shown)
            return REDACTED[: room.limit] if hidden else shown
        if isinstance(value, (bytes, bytearray, memoryview)):
            text = bytes(value[: 4 * (MAX_TEXT + 1)]).decode("utf-8", "replace")
        else:
            text = str.__str__(value) if isinstance(value, str) and not isinstance(value, Enum) else str(value)
        if kind is _Kind.PLAIN or not text or text == REDACTED:
            return self.text(text, room.limit)
        if kind is not _Kind.EMAIL:
            return REDACTED[: room.limit]
        # No address is longer than what is kept of every text, so its hash does not depend on the limit.
        return (text if _HASHED.fullmatch(text) else f"email:{self.hash(text[:OVERLAP])}")[: room.limit]

    def _masked_number(self, value: Number) -> int | float | str:
        number: int | float
        if isinstance(value, float):
            number = float(value)  # an enumeration's member is one as well
        elif isinstance(value, Integral):
            number = int(value)
        else:
            return self.text(str(value))
        if -_SMALL_NUMBER < number < _SMALL_NUMBER:
            return number
        if not math.isfinite(number):
            return str(number)
        shown = str(int(number))
        if self._text(shown) != shown:
            return REDACTED
        # Wider than any protocol's integer.
        return number if isinstance(number, float) or -(2**63) <= number < 2**63 else shown

    def _masked_all(
        self, name: str, kind: _Kind, value: Mapping[object, object] | list[object] | tuple[object, ...] | Set[object],
        room: _Room,
    ) -> object:  # fmt: skip
        if room.depth >= MAX_DEPTH:
            return CUT[: room.limit]
        room.depth += 1
        try:
            if isinstance(value, Mapping):
                return self._masked_pairs(name, kind, value, room)
            items: list[object] = []
            for item in value:
                if not room.items:
                    items.append(CUT[: room.limit])
                    break
                room.items -= 1
                items.append(self._masked(name, kind, item, room))
            return items
        finally:
            room.depth -= 1

    def _masked_pairs(self, name: str, kind: _Kind, value: Mapping[object, object], room: _Room) -> object:
        shown: dict[str, object] = {}
        for key, item in value.items():
            if not room.items:
                shown[CUT] = True
                break
            room.items -= 1
            inner = key if isinstance(key, str) else str(key)
            # `{"api": {"key": ...}}` is `api.key`, as the Collector sees it.
            path = f"{name}.{inner}"
            own = self._kind(path) if kind is _Kind.PLAIN else kind
            shown[self.text(inner)] = self._masked(path, own, item, room)
        return shown

    def _remember(self, value: str) -> None:
        if len(value) <= _LONGEST_CACHED_TEXT:
            if len(self._harmless) >= _CACHED_TEXTS:
                self._harmless.clear()
            self._harmless.add(value)

    def _url_once(self, value: str) -> str:
        parts = urlsplit(value)
        scheme, host, path = parts.scheme, parts.netloc.rpartition("@")[2], parts.path
        first, slash, rest = path.partition("/")
        if not host and "@" in first and scheme != "mailto":  # `user:password@host/...`
            scheme, path = "", f"{first.rpartition('@')[2]}{slash}{rest}"
        return self.text(urlunsplit((scheme, host, path, REDACTED if parts.query else "", "")))

    def _once(self, value: str, seam: _Seam | None = None) -> str:
        if not value.isascii():
            value = value.encode("utf-8", "replace").decode()  # half a surrogate pair fits no protocol
        if "PRIVATE KEY" in value:
            value = _replaced(_PRIVATE_KEY, REDACTED, value, seam)
        if "@" in value and "://" in value:
            value = _replaced(_URL_CREDENTIALS, f"{REDACTED}@", value, seam)
            value = _replaced(_URL_CREDENTIALS_WITH_SLASH, f"{REDACTED}@", value, seam)
        lowered = value.lower()
        if _hints(lowered):
            if "</" in value:
                value = _edited(value, self._secret_elements(value), seam)
            value = _edited(value, self._secret_pairs(value, _NAME), seam)
            value = _edited(value, self._secret_pairs(value, _FLAG), seam) if "--" in value else value
        if "bearer" in lowered or "basic" in lowered:
            value = _replaced(_SCHEME, _without_credentials, value, seam)
        if "eyJ" in value:
            value = _replaced(_JWT, REDACTED, value, seam)
        value = _edited(value, _cards(value), seam)
        if "@" in value or "%40" in value:
            value = _replaced(_EMAIL, self._hashed_address, value, seam)
        if seam is None and len(value) > MAX_TEXT:  # of many short addresses
            value = value[: MAX_TEXT - OVERLAP] + CUT
        return value

    def _secret_elements(self, value: str) -> list[tuple[int, int, str]]:
        """What is inside of XML elements with the names of secrets."""
        edits: list[tuple[int, int, str]] = []
        not_closed: set[str] = set()
        at = 0
        while (element := _ELEMENT.search(value, at)) is not None:
            at = element.end()
            name, local = element.groups()
            if self._kind(local) in (_Kind.PLAIN, _Kind.EMAIL) or name in not_closed:
                continue
            end = value.find(f"</{name}", at)
            if end < 0:
                not_closed.add(name)
            elif value[at:end].strip() not in ("", REDACTED) and not _is_placeholder(local, value[at:end]):
                edits.append((at, end, REDACTED))
                at = end
        return edits

    def _secret_pairs(self, value: str, names: re.Pattern[str]) -> list[tuple[int, int, str]]:
        edits: list[tuple[int, int, str]] = []
        at = 0
        while (pair := names.search(value, at)) is not None:
            at = pair.end()
            name = pair.group(1)
            before = value[max(0, pair.start() - 2) : pair.start()]
            if before.endswith("%") and name[:2] in ("22", "27", "5B", "5b", "7B", "7b"):
                name = name[2:]
            kind = self._kind(name)
            if kind is _Kind.PLAIN and before.endswith(("?", "&")):
                kind = _Kind.SECRET if _PARAMETER.search(name) else kind
            if kind is _Kind.PLAIN or kind is _Kind.EMAIL:
                continue
            if before.endswith(("//", "@")) and _PORT.match(value, at):
                continue  # the host of a URL may have any name
            if _is_listed(value, pair):
                continue
            if _DONE.match(value, at):
                continue
            found = (_LINE_VALUE if kind is _Kind.LINE else _VALUE).match(value, at)
            if (end := _bracketed(value, at)) > at:
                if self._holds_numbers(kind, value[at:end]) or _is_placeholder(name, value[at:end]):
                    at = end
                    continue
                if kind is _Kind.LINE and found is not None:
                    end = max(end, found.end())
                edits.append((at, end, REDACTED))
                at = end
            elif found is not None and not _is_placeholder(name, found.group()):
                edits.append((at, found.end(), _marked(found.group())))
                at = found.end()
        return edits

    def _holds_numbers(self, kind: _Kind, value: str) -> bool:
        """Whether what is in brackets holds nothing but numbers and booleans, and none that is itself a secret."""
        if kind is _Kind.TYPED or _NUMBERS.fullmatch(value) is None:
            return kind is _Kind.TYPED and not value.strip("[](){} ")
        return not any(self._kind(key) is _Kind.TYPED for key in _KEY.findall(value))

    def _hashed_address(self, match: re.Match[str]) -> str:
        whole, local = match.group(), match.group("local")
        # Some label of the domain, apart from the first, begins with a letter: not so in `package@1.2.3`.
        if not any(label[0].isalpha() for domain in _AT.split(whole)[1:] for label in domain.split(".")[1:]):
            return whole
        # Quotes and the like around an address are allowed in it, yet never meant.
        lead = len(local) - len(local.lstrip(_AROUND_ADDRESS))
        lead = 0 if lead == len(local) else lead
        return f"{whole[:lead]}email:{self.hash(unquote(whole[lead:]))}"
