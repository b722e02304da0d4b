"""Secrets and addresses that are planted, each with a mark by which its rest is recognised."""

import re
from collections.abc import Callable, Iterator
from random import Random
from string import ascii_uppercase, digits
from typing import Final

_ALPHABET: Final = ascii_uppercase + digits
_BEGIN: Final = "ZQ7XKV"
_NUMBER: Final = 4
_MARK: Final = re.compile(rb"(?i:zq7xkv)([0-9A-Z]{0,4})")
"""Finds marks, whole and cut, also in text that was made lower case."""

SECRETS: Final[dict[str, Callable[[str], str]]] = {
    "e-mail address": lambda mark: f"{mark}@planted.example",
    "API key of the gateway": lambda mark: f"wct_{mark * 2}",
    "JSON web token": lambda mark: f"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ{mark}.{mark}",
    "password": lambda mark: f"password={mark}",
    "credentials of a URL": lambda mark: f"https://user:{mark}@site.example/",
    "secret parameter of a URL": lambda mark: f"https://site.example/?access_token={mark}",
    "authorization header": lambda mark: f"Authorization: Bearer {mark}",
    "private key": lambda mark: f"-----BEGIN EC PRIVATE KEY----- {mark} -----END EC PRIVATE KEY-----",
    "token of GitHub": lambda mark: f"ghp_{mark}{mark[:16]}",
    "fine-grained token of GitHub": lambda mark: f"github_pat_{mark}_{mark}",
    "token of GitLab": lambda mark: f"glpat-{mark}",
    "token of Slack": lambda mark: f"xoxb-123456789012-{mark}",
    "API key of Google": lambda mark: f"AIza{mark}{mark[:15]}",
    "key of Stripe": lambda mark: f"sk_live_{mark}",
    "key of a model": lambda mark: f"sk-ant-api03-{mark}",
    "token of npm": lambda mark: f"npm_{mark}{mark[:16]}",
    "token of PyPI": lambda mark: f"pypi-AgEIcHlwaS5vcmc{mark}",
    "token of Vault": lambda mark: f"hvs.{mark}",
    "key of SendGrid": lambda mark: f"SG.{mark}.{mark}",
    "access key id of AWS": lambda mark: f"AKIA{mark[:16]}",
}
"""Secrets by what they are; each is made of a mark of 20 capital letters and digits."""


class Marks:
    """Makes secrets, and names those that it finds."""

    def __init__(self, seed: int) -> None:
        """seed: decides the secrets."""
        self.random = Random(seed)
        self._planted: dict[bytes, tuple[str, str]] = {}
        self.count = 0

    def mark(self, what: str, place: str) -> str:
        """Return a new mark of 20 characters for what is planted at a place."""
        number = self._number(what, place)
        self.count += 1
        return f"{_BEGIN}{number}{''.join(self.random.choices(_ALPHABET, k=20 - len(_BEGIN) - _NUMBER))}"

    def secret(self, place: str) -> str:
        """Return a secret of random kind that is planted at this place."""
        what = self.random.choice(list(SECRETS))
        return SECRETS[what](self.mark(what, place))

    def left_in(self, content: bytes) -> Iterator[tuple[str, str]]:
        """Yield what each mark in a text was, and where it was planted."""
        for match in _MARK.finditer(content):
            yield self._planted.get(match[1].upper(), ("a part of a secret", "unknown place"))

    def _number(self, what: str, place: str) -> str:
        """The number of a kind and a place, which is a part of their marks: millions of secrets need no memory."""
        for number, planted in self._planted.items():
            if planted == (what, place):
                return number.decode()
        new = f"{len(self._planted):04d}"
        self._planted[new.encode()] = what, place
        return new
