"""Keeps personal data and secrets out of spans and logs.

A value is hidden because of its name (`password`, `user_email`, `apiKey`; the rules are in `names.py`) or because of
its form (the table in `shapes.py`). E-mail addresses become a keyed hash, so that two of them can be distinguished.
What an on-call engineer reads stays: ids, times, versions, digests, routes, SQL with its placeholders, offsets and
numbers.

A value is redacted first and cut afterwards, because half a secret has no recognisable form.
"""

import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Callable, Mapping, Set
from enum import Enum
from numbers import Integral, Number
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from lean_tracing.redaction.cards import CARD, MIN_CARD
from lean_tracing.redaction.cutting import open_end
from lean_tracing.redaction.edits import Context, Seam
from lean_tracing.redaction.keys import KeyRules, Kind
from lean_tracing.redaction.limits import CUT, MAX_DEPTH, MAX_ITEMS, MAX_TEXT, OVERLAP, REDACTED, Budget
from lean_tracing.redaction.shapes import SHAPES
from lean_tracing.redaction.tokens import MIN_TOKEN, TOKEN

_MAX_ROUNDS: Final = 8
_MAX_CACHED: Final = 1_024
_MAX_CACHED_LENGTH: Final = 1_024
_HASHED: Final = re.compile(r"email:[0-9a-f]{0,16}")
# The first hint has a field of its own. Most shapes have only one, and a search for one text is the fastest. The tokens
# of all services are one step.
_STEPS: Final = tuple(
    dict.fromkeys(
        (shape.hints[0] if shape.hints else "", shape.hints[1:], shape.hide)
        for shape in SHAPES
        if shape.hide is not None
    )
)


class Redactor:
    """Redacts text, URLs and named values. The hashes of two redactors agree only where their keys do.

    `text`, `url` and `named` never raise. If redaction itself fails, `[redacted]` replaces the whole value. Redacting a
    redacted value changes nothing.
    """

    def __init__(self, key: str | None = None, is_harmless: Callable[[str], bool] | None = None) -> None:
        """Creates a redactor.

        Args:
            key: secret that all services share whose hashes shall agree. None makes a random one for this process.
            is_harmless: the first look of the native part: whether a text certainly holds nothing to hide.
        """
        self._is_harmless = is_harmless
        # A variable of the environment may hold bytes that are no text.
        self._key = key.encode(errors="surrogatepass") if key else secrets.token_bytes(32)
        self._keys = KeyRules()
        self._context = Context(self._keys, self.hash)
        # Only texts without anything to hide: a cache of secrets would be one more place to lose them.
        self._harmless: set[str] = set()

    def hash(self, value: str) -> str:
        """16 hex characters of HMAC-SHA-256. Case and outer blanks do not count, so that a mailbox has one hash."""
        return hmac.new(self._key, value.strip().lower().encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:16]

    def text(self, value: str, limit: int | None = None) -> str:
        """`value` with e-mail addresses as `email:<hash>` and secrets as `[redacted]`, cut where it exceeds MAX_TEXT.

        Args:
            value: any text.
            limit: characters of the result, at most. The cut shows no part of a secret.
        """
        try:
            if type(value) is not str:
                value = str.__str__(value) if isinstance(value, str) else str(value)
            length = len(value)
            if length <= OVERLAP:
                return self._text(value) if limit is None else self._text(value)[:limit]
            most = MAX_TEXT if limit is None else min(MAX_TEXT, limit + OVERLAP)
            redacted = self._text(value) if length <= most else self._beginning(value[:most])
            return redacted if limit is None else redacted[:limit]
        except Exception:  # a failure must not show the value
            return REDACTED if limit is None else REDACTED[:limit]

    def url(self, value: str) -> str:
        """A URL without credentials, query values and fragment, any of which may hold a secret."""
        try:
            return _settle(self._redact_url, value)
        except Exception:
            return REDACTED

    def named(self, name: str, value: object, limit: int | None = None) -> object:
        """`value` as it may be shown under `name`: hashed for e-mail, hidden for secrets, else its text redacted.

        Text under the name of a secret is hidden; numbers and booleans stay. A number is hidden only where the secret
        is typed in digits (`password`, `otp`, `cvv`). A structure under such a name is hidden whole if it holds any
        text.

        Args:
            name: the key of an attribute, or the path of keys to it.
            value: of any type. Bytes and other objects become text.
            limit: characters of each text in the result, at most.

        Returns:
            None, bool, int, float, str, or lists and dicts of them.
        """
        try:
            kind = self._keys.kind(name)
            if kind is Kind.PLAIN and type(value) is str:  # nearly always
                return self.text(value, limit)
            return self._value(name, kind, value, Budget(MAX_ITEMS, limit))
        except Exception:
            return REDACTED if limit is None else REDACTED[:limit]

    def shows_numbers(self, name: str) -> bool:
        """Whether `named` shows a number under this name as it is, unless the number may be that of a card."""
        return self._keys.kind(name) is not Kind.TYPED

    def shows_text(self, name: str) -> bool:
        """Whether `named` shows a text under this name if nothing in it is to be hidden."""
        return self._keys.kind(name) is Kind.PLAIN

    # --- text ---------------------------------------------------------------------------------------------------------

    def _text(self, value: str) -> str:
        if len(value) < 5 or value in self._harmless:
            return value
        if self._is_harmless is not None and self._is_harmless(value):
            return value
        if not _may_hold_something(value):
            if len(value) >= MIN_TOKEN:  # the search for tokens takes longer than the set
                self._remember(value)
            return value
        redacted = _settle(self._redact, value)
        if redacted == value:
            self._remember(value)
        return redacted

    def _remember(self, value: str) -> None:
        if len(value) <= _MAX_CACHED_LENGTH:
            if len(self._harmless) >= _MAX_CACHED:
                self._harmless.clear()
            self._harmless.add(value)

    def _beginning(self, value: str) -> str:
        """The beginning of a longer text, without its last OVERLAP characters, where half a secret may be."""
        seam = Seam(len(value) - OVERLAP)
        end = open_end(value)
        if end < seam.position:
            value = value[:end] + REDACTED
            seam.position = len(value)
        redacted = _settle(lambda text: self._redact(text, seam), value)
        # The mark of the cut may turn what was none into the value of a name.
        return self._text(redacted[: min(seam.position, MAX_TEXT - OVERLAP)] + CUT)

    def _redact(self, value: str, seam: Seam | None = None) -> str:
        """One pass over the table of shapes."""
        if not value.isascii():
            value = value.encode("utf-8", "replace").decode()  # half a surrogate pair fits no protocol
        lowered = value.lower()
        context = self._context
        for hint, more_hints, hide in _STEPS:
            if hint in lowered or (more_hints and _holds_any(more_hints, lowered)):
                value = hide(value, context, seam)
        if seam is None and len(value) > MAX_TEXT:  # the hashes of many short addresses are longer than these
            value = value[: MAX_TEXT - OVERLAP] + CUT
        return value

    def _redact_url(self, value: str) -> str:
        parts = urlsplit(value)
        scheme, host, path = parts.scheme, parts.netloc.rpartition("@")[2], parts.path
        first, slash, rest = path.partition("/")
        if not host and "@" in first and scheme != "mailto":  # `user:password@host/...`
            scheme, path = "", f"{first.rpartition('@')[2]}{slash}{rest}"
        return self.text(urlunsplit((scheme, host, path, REDACTED if parts.query else "", "")))

    # --- values -------------------------------------------------------------------------------------------------------

    def _value(self, name: str, kind: Kind, value: object, budget: Budget) -> object:
        exact_type = type(value)
        if value is None or exact_type is bool:
            return value
        if kind is Kind.PLAIN and exact_type is str:
            return self.text(value, budget.text_limit)  # type: ignore[arg-type]
        if isinstance(value, Number):
            number = self._number(value)
            if kind is Kind.PLAIN or (kind is not Kind.TYPED and not isinstance(number, str)):
                return number[: budget.text_limit] if isinstance(number, str) else number
            value = str(value)
        if isinstance(value, (Mapping, list, tuple, Set)):
            shown = self._structure(name, kind, value, budget)
            is_hidden = kind is not Kind.PLAIN and kind is not Kind.EMAIL and _holds_text(shown)
            return REDACTED[: budget.text_limit] if is_hidden else shown
        if isinstance(value, (bytes, bytearray, memoryview)):
            text = bytes(value[: 4 * (MAX_TEXT + 1)]).decode("utf-8", "replace")
        else:
            text = str.__str__(value) if isinstance(value, str) and not isinstance(value, Enum) else str(value)
        if kind is Kind.PLAIN or not text or text == REDACTED:
            return self.text(text, budget.text_limit)
        if kind is not Kind.EMAIL:
            return REDACTED[: budget.text_limit]
        # No address is longer than what is kept of every text, so its hash does not depend on the limit.
        return (text if _HASHED.fullmatch(text) else f"email:{self.hash(text[:OVERLAP])}")[: budget.text_limit]

    def _number(self, value: Number) -> int | float | str:
        number: int | float
        if isinstance(value, float):
            number = float(value)  # the member of an enumeration may be a float
        elif isinstance(value, Integral):
            number = int(value)
        else:
            return self.text(str(value))
        if -MIN_CARD < number < MIN_CARD:
            return number
        if not math.isfinite(number):
            return str(number)
        shown = str(int(number))
        if self._text(shown) != shown:
            return REDACTED
        # Text where it is wider than any protocol's integer.
        return number if isinstance(number, float) or -(2**63) <= number < 2**63 else shown

    def _structure(
        self,
        name: str,
        kind: Kind,
        value: Mapping[object, object] | list[object] | tuple[object, ...] | Set[object],
        budget: Budget,
    ) -> object:
        if budget.depth >= MAX_DEPTH:
            return CUT[: budget.text_limit]
        budget.depth += 1
        try:
            if isinstance(value, Mapping):
                return self._mapping(name, kind, value, budget)
            items: list[object] = []
            for item in value:
                if not budget.items:
                    items.append(CUT[: budget.text_limit])
                    break
                budget.items -= 1
                items.append(self._value(name, kind, item, budget))
            return items
        finally:
            budget.depth -= 1

    def _mapping(self, name: str, kind: Kind, value: Mapping[object, object], budget: Budget) -> object:
        shown: dict[str, object] = {}
        for key, item in value.items():
            if not budget.items:
                shown[CUT] = True
                break
            budget.items -= 1
            inner = key if isinstance(key, str) else str(key)
            # `{"api": {"key": ...}}` is `api.key`, as in the Collector, which flattens it.
            path = f"{name}.{inner}"
            own_kind = self._keys.kind(path) if kind is Kind.PLAIN else kind
            shown[self.text(inner)] = self._value(path, own_kind, item, budget)
        return shown


def _settle(redact: Callable[[str], str], value: str) -> str:
    """Redacts until nothing changes, so that a second redaction, for example in the Collector, changes nothing."""
    for _ in range(_MAX_ROUNDS):
        redacted = redact(value)
        if redacted == value:
            return redacted
        value = redacted
    return REDACTED


def _holds_any(parts: tuple[str, ...], text: str) -> bool:
    for part in parts:  # noqa: SIM110 - any() costs three times as much
        if part in text:
            return True
    return False


def _may_hold_something(value: str) -> bool:
    """Whether a text may contain a secret or personal data. The test is fast; if it is wrong, it says True."""
    if not value.isascii():
        return True
    if "=" in value or ":" in value or "@" in value or "%" in value or "eyJ" in value or "--" in value or ">" in value:
        return True
    if " " in value or "\t" in value or "+" in value or "\n" in value:
        lowered = value.lower()
        if "bearer" in lowered or "basic" in lowered or "', b'" in value:
            return True
    # The beginning of a pair in a tuple or a list.
    if "," in value and ("('" in value or '("' in value or "['" in value or '["' in value):
        return True
    if len(value) > 12 and CARD.search(value) is not None:
        return True
    return len(value) >= MIN_TOKEN and TOKEN.search(value) is not None


def _holds_text(shown: object) -> bool:
    """Whether the value contains a text that is not empty."""
    if isinstance(shown, dict):
        return any(map(_holds_text, shown.values()))
    if isinstance(shown, list):
        return any(map(_holds_text, shown))
    return isinstance(shown, str) and shown != ""
