"""Finds the numbers of payment cards in text."""

import re
from typing import Final

from lean_tracing.redaction.edits import Context, Edit, Seam, apply_edits
from lean_tracing.redaction.limits import REDACTED

# Digits together or in the groups that are printed on cards. Not inside a digest, the fraction of a number, the span id
# of a traceparent, or the library's own hash of an address.
CARD: Final = re.compile(
    r"[2-6](?<![0-9A-Za-z].)(?<![0-9]\..)(?<!email:.)(?<![0-9a-f]{32}-.)"
    r"(?:[0-9]{12,18}+"
    r"|[0-9]{3}(?P<s>[ .+\u00a0\u2010-\u2013-]|%20)[0-9]{4}(?P=s)[0-9]{4}(?P=s)[0-9]{4}(?:(?P=s)[0-9]{1,3})?"
    r"|[0-9]{3}(?P<t>[ .+\u00a0\u2010-\u2013-]|%20)[0-9]{6}(?P=t)[0-9]{4,5})(?![0-9A-Za-z])",
    re.DOTALL,
)
_SEPARATORS = re.compile(r"%20|[^0-9]")
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

MIN_CARD: Final = 10**12
"""The smallest number with the 13 digits that a card has at least."""


def is_card(digits: str) -> bool:
    """Whether an issuer gives out such numbers (Visa, Mastercard, Amex, Diners, JCB, Discover, Maestro, UnionPay)."""
    length = len(digits)
    match digits[0]:
        case "2":
            is_issued = length == 16 and "2221" <= digits[:4] <= "2720"
        case "3":
            is_issued = length in ((15,) if digits[1] in "47" else (14, 16, 17, 18, 19))
        case "4":
            is_issued = length in (13, 16, 19)
        case _:
            is_issued = True
    return is_issued and _luhn_sum(digits) % 10 == 0


def _luhn_sum(digits: str) -> int:
    """Every second digit from the right counts double, less 9 where that has two digits."""
    return sum(int(digit) if place % 2 == 0 else _DOUBLED[int(digit)] for place, digit in enumerate(reversed(digits)))


def hide_cards(text: str, _: Context, seam: Seam | None) -> str:
    """Hides each card number."""
    edits: list[Edit] = []
    position = 0
    while (match := CARD.search(text, position)) is not None:
        end = match.end()
        separator = match.group("s")
        hidden = is_card(_SEPARATORS.sub("", match.group()))
        if not hidden and separator and match.group().count(separator) == 4:
            # Four groups of a card, and a number of something else after them.
            end = match.start() + match.group().rindex(separator)
            hidden = is_card(_SEPARATORS.sub("", text[match.start() : end]))
        if hidden:
            edits.append(Edit(match.start(), end, REDACTED))
        # The number in front of a card may look like the card's first group.
        position = end if hidden else match.start() + 1
    return apply_edits(text, edits, seam)
