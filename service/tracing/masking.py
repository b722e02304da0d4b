"""Keeps personal data and secrets out of spans and logs: a keyed hash where values must still be told apart.

What hides a value is its name (`password`, `user_email`, `apiKey`, ...) or its shape (e-mail address, bearer token,
JWT, payment card, private key, credentials and secret parameters of URLs, `name=value` pairs inside text). What an
on-call engineer reads stays: ids, times, versions, digests, routes, SQL with its placeholders, offsets, plain numbers.

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
from enum import Enum
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

REDACTED: Final = "[redacted]"
CUT: Final = " …[cut]"
# Characters of one text, values of one structure, and how deep it may nest; what is beyond is cut, with a mark.
MAX_TEXT: Final = 32_768
MAX_ITEMS: Final = 1_000
MAX_DEPTH: Final = 8

# The end of a cut text may hold half a secret, which no pattern knows any more.
_CUT_OVERLAP = 1_024
_SETTLE_ROUNDS = 8
_CACHED_NAMES = 2_048
_CACHED_TEXTS = 1_024
_LONGEST_CACHED_TEXT = 1_024
_LONGEST_NAME = 128
# No card has fewer than 13 digits.
_SMALL_NUMBER = 10**12


class _Kind(Enum):
    PLAIN = "shown, its text searched"
    SECRET = "hidden"
    LINE = "hidden, and inside text up to the end of the line: its values hold blanks"
    EMAIL = "hashed"


# --- names ------------------------------------------------------------------------------------------------------------

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_NAME = re.compile(
    r"pass[_-]?(?:word|wd|phrase|code)|secret(?!ar)|token(?!i[sz])|credential|authorization|bearer|cookie|session|sessid"
    r"|credit_?card|card_?(?:number|no(?:_|$))"
    r"|(?:^|_)(?:pwd|pass|pw|sid|jwt|otp|cvv|cvc|ssn|iban)(?:_|$)|(?:^|_)auth$"
    # A key is a secret only together with what it opens: message, primary, partition, cache keys are not.
    r"|(?:api|private|access|encryption|signing|secret|master)_?key"
    r"|(?:account|shared|auth|hash|hmac|ssh|rsa|aes|storage|service|server|client|license|deploy|webhook)_keys?(?:_|$)"
)
# One of these is in every such name; to look for them first is ten times faster than to look at every name in a text.
_HINTS = (
    "pass", "pw", "secret", "token", "cred", "auth", "cookie", "sess", "sid", "jwt", "otp", "cvv", "cvc", "ssn", "iban",
    "bearer", "card", "key", "code", "sig", "ticket",
)  # fmt: skip
_LINE_NAME = re.compile(r"(?:authorization|cookies?)$")
_EMAIL_NAME = re.compile(r"(?:^|_)e_mails?(?:_|$)")
# `token_count`, `session.timeout.ms` speak about a secret and hold none.
_MEASURES = frozenset({
    "age", "bytes", "count", "counts", "disabled", "duration", "enabled", "expired", "expires", "expiry", "kind", "len",
    "length", "limit", "missing", "ms", "name", "policy", "present", "required", "seconds", "size", "timeout", "total",
    "ttl", "type", "valid",
})  # fmt: skip
# Too common as names, yet secrets as parameters of a URL: OAuth codes, API keys, signatures.
_SECRET_PARAMETERS = frozenset({"code", "key", "sig", "signature", "ticket"})


def _kind(name: str) -> _Kind:
    lowered = name.lower()
    words = "_".join(_WORDS.findall(name)).lower()
    if words.rpartition("_")[2] in _MEASURES:
        return _Kind.PLAIN
    if _LINE_NAME.search(lowered):
        return _Kind.LINE
    # Both spellings, because the words of `PaSsWoRd` are not its words.
    if _SECRET_NAME.search(words) or _SECRET_NAME.search(lowered):
        return _Kind.SECRET
    if "email" in lowered or _EMAIL_NAME.search(words):
        return _Kind.EMAIL
    return _Kind.PLAIN


def _hints(lowered: str) -> bool:
    for hint in _HINTS:  # noqa: SIM110 - any() costs three times as much
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

# A name and what joins it to its value: `a=`, `a: `, `"a": `, `a => `, `['a'] = `, `a[]=`, `a%3D`, `<a>`, `'a', b'`.
_NAME = re.compile(
    r"""([\w.-](?<![\w.-].)[\w.-]*+)(?:\\*["'])?+(?:\[\]|\])?+
    (?:\s*+(?:=>|:=|={1,3}|:)|%3[DdAa]|>(?=[^\s<=])|(?<=["']),\s*+(?=b["']))\s*+""",
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
    rf"""[A-Za-z_.]{{1,64}}\(\s?{_QUOTED}\)?
    | [bBrRuUfF]{{0,2}}{_QUOTED}(?:(?=\w){_UNQUOTED})?+
    | (?P<escaped>\\+["'])(?:(?!(?P=escaped)).)*+(?:(?P=escaped)|\Z)
    | (?i:bearer|basic|digest|negotiate|token|apikey)\s++{_UNQUOTED}
    | {_UNQUOTED}""",
    re.VERBOSE | re.DOTALL,
)
_LINE_VALUE = re.compile(rf"""b?{_QUOTED}|[^\r\n]++""", re.VERBOSE | re.DOTALL)
_PORT = re.compile(r"[0-9]{1,5}(?:[/?#\s]|\Z)")
_DONE = re.compile(r"""\[redacted\](?=[)\]}]*+(?:[,;]?(?:\s|\Z)|[&"'<]))""")
# What stands for a value in SQL and templates; a name only where it is that of the column.
_PLACEHOLDER = re.compile(r"(?:\?|%s|\$[0-9]{1,3}|None|null|NULL|:(\w+)|%\((\w+)\)s|\{(\w+)\})[,;)]{0,4}")

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
_HASHED = re.compile(r"email:[0-9a-f]{16}")


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


def _without_cards(value: str) -> str:
    shown: list[str] = []
    done = at = 0
    while (found := _CARD.search(value, at)) is not None:
        end = found.end()
        separator = found.group("s")
        card = _is_card(_NO_DIGIT.sub("", found.group()))
        if not card and separator and found.group().count(separator) == 4:
            # Four groups, and a number of something else behind them.
            end = found.start() + found.group().rindex(separator)
            card = _is_card(_NO_DIGIT.sub("", value[found.start() : end]))
        if card:
            shown += (value[done : found.start()], REDACTED)
            done = end
        # The group in front of a card may look like the first of its groups.
        at = end if card else found.start() + 1
    return "".join((*shown, value[done:])) if shown else value


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


def _suspicious(value: str) -> bool:
    """Whether a text may hold anything to mask; wrong only on the safe side."""
    if not value.isascii() or len(value) > MAX_TEXT:
        return True
    if "=" in value or ":" in value or "@" in value or "%" in value or "eyJ" in value or "--" in value or ">" in value:
        return True
    if " " in value or "\t" in value or "+" in value or "\n" in value:
        lowered = value.lower()
        if "bearer" in lowered or "basic" in lowered or "', b'" in value:
            return True
    return len(value) > 12 and _CARD.search(value) is not None


class Masker:
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

    def text(self, value: str) -> str:
        """`value` with e-mail addresses as `email:<hash>` and secrets as the marker, cut where it is over MAX_TEXT."""
        try:
            if type(value) is not str:
                value = str.__str__(value) if isinstance(value, str) else str(value)
            if len(value) < 5 or value in self._harmless or not _suspicious(value):
                return value
            masked = _settled(self._once, value)
            if masked == value:
                self._remember(value)
            return masked
        except Exception:  # whatever it is, the value is not shown for it
            return REDACTED

    def url(self, value: str) -> str:
        """A URL without credentials, query values and fragment: any of them may carry a secret."""
        try:
            return _settled(self._url_once, value)
        except Exception:
            return REDACTED

    def named(self, name: str, value: object) -> object:
        """`value` as it may be shown under `name`: hashed for e-mail, hidden for secrets, else its text masked.

        Returns None, bool, int, float, str, or lists and dicts of them. Bytes and other objects become text.
        """
        try:
            return self._masked(self._kind(name), value, 0, [MAX_ITEMS])
        except Exception:
            return REDACTED

    def _kind(self, name: str) -> _Kind:
        kind = self._kinds.get(name)
        if kind is None:
            if len(self._kinds) >= _CACHED_NAMES:
                self._kinds.clear()
            kind = self._kinds[name[-_LONGEST_NAME:]] = _kind(name[-_LONGEST_NAME:])
        return kind

    def _masked(self, kind: _Kind, value: object, depth: int, left: list[int]) -> object:
        """left: how many more values may be shown, counted down."""
        what = type(value)
        if value is None or what is bool:
            return value
        if kind is _Kind.PLAIN:
            if what is str:
                return self.text(value)  # type: ignore[arg-type]
        elif kind is not _Kind.EMAIL:
            return value if value == "" else REDACTED
        if isinstance(value, (int, float)) and not isinstance(value, Enum):
            if -_SMALL_NUMBER < value < _SMALL_NUMBER:
                return value
            if kind is _Kind.PLAIN:
                return self._masked_number(value)
        if isinstance(value, (Mapping, list, tuple, Set)):
            return self._masked_all(kind, value, depth, left)
        if isinstance(value, (bytes, bytearray, memoryview)):
            text = bytes(value[: 4 * MAX_TEXT]).decode("utf-8", "replace")
        else:
            text = str.__str__(value) if isinstance(value, str) and not isinstance(value, Enum) else str(value)
        if kind is _Kind.EMAIL and text and text != REDACTED and not _HASHED.fullmatch(text):
            return f"email:{self.hash(text)}"
        return self.text(text)

    def _masked_number(self, value: int | float) -> object:
        if not math.isfinite(value):
            return str(value)
        shown = str(int(value))
        if self.text(shown) != shown:
            return REDACTED
        # Wider than any protocol's integer.
        return value if isinstance(value, float) or -(2**63) <= value < 2**63 else self.text(shown)

    def _masked_all(
        self, kind: _Kind, value: Mapping[object, object] | list[object] | tuple[object, ...] | Set[object],
        depth: int, left: list[int],
    ) -> object:  # fmt: skip
        if depth >= MAX_DEPTH:
            return CUT
        if isinstance(value, Mapping):
            shown: dict[str, object] = {}
            for key, item in value.items():
                if not left[0]:
                    shown[CUT] = True
                    break
                left[0] -= 1
                name = key if isinstance(key, str) else str(key)
                own = self._kind(name)
                shown[self.text(name)] = self._masked(kind if own is _Kind.PLAIN else own, item, depth + 1, left)
            return shown
        items: list[object] = []
        for item in value:
            if not left[0]:
                items.append(CUT)
                break
            left[0] -= 1
            items.append(self._masked(kind, item, depth + 1, left))
        return items

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

    def _once(self, value: str) -> str:
        cut = len(value) > MAX_TEXT
        if cut:
            value = value[:MAX_TEXT]
        if not value.isascii():
            value = value.encode("utf-8", "replace").decode()  # half a surrogate pair fits no protocol
        if "PRIVATE KEY" in value:
            value = _PRIVATE_KEY.sub(REDACTED, value)
        if "@" in value and "://" in value:
            value = _URL_CREDENTIALS.sub(f"{REDACTED}@", value)
            value = _URL_CREDENTIALS_WITH_SLASH.sub(f"{REDACTED}@", value)
        lowered = value.lower()
        if _hints(lowered):
            value = self._without_secret_pairs(value, _NAME)
            value = self._without_secret_pairs(value, _FLAG) if "--" in value else value
        if "bearer" in lowered or "basic" in lowered:
            value = _SCHEME.sub(_without_credentials, value)
        if "eyJ" in value:
            value = _JWT.sub(REDACTED, value)
        value = _without_cards(value)
        if "@" in value or "%40" in value:
            value = _EMAIL.sub(self._hashed_address, value)
        if cut or len(value) > MAX_TEXT:
            value = value[: min(len(value), MAX_TEXT) - _CUT_OVERLAP] + CUT
        return value

    def _without_secret_pairs(self, value: str, names: re.Pattern[str]) -> str:
        shown: list[str] = []
        done = at = 0
        while (pair := names.search(value, at)) is not None:
            at = pair.end()
            name = pair.group(1)
            kind = self._kind(name)
            if kind is _Kind.PLAIN and pair.start() and value[pair.start() - 1] in "?&":
                kind = _Kind.SECRET if name.lower() in _SECRET_PARAMETERS else kind
            if kind is _Kind.PLAIN or kind is _Kind.EMAIL:
                continue
            if value[max(0, pair.start() - 2) : pair.start()].endswith(("//", "@")) and _PORT.match(value, at):
                continue  # the host of a URL may have any name
            found = (_LINE_VALUE if kind is _Kind.LINE else _VALUE).match(value, at)
            if found is not None and not _DONE.match(value, at) and not _is_placeholder(name, found.group()):
                shown += (value[done:at], _marked(found.group()))
                done = at = found.end()
        return "".join((*shown, value[done:])) if shown else value

    def _hashed_address(self, match: re.Match[str]) -> str:
        whole, local = match.group(), match.group("local")
        # Some label of the domain, apart from the first, begins with a letter: not so in `package@1.2.3`.
        if not any(label[0].isalpha() for domain in _AT.split(whole)[1:] for label in domain.split(".")[1:]):
            return whole
        # Quotes and the like around an address are allowed in it, yet never meant.
        lead = len(local) - len(local.lstrip(_AROUND_ADDRESS))
        lead = 0 if lead == len(local) else lead
        return f"{whole[:lead]}email:{self.hash(unquote(whole[lead:]))}"
