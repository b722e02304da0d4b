"""API keys. The gateway knows their hashes alone."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from contracts.access import HASH, NAME, Role, owner_of_key
from service.common.access import Caller, digest, is_same

_ENTRY: Final = re.compile(f"(?P<name>{NAME}):(?P<role>{'|'.join(Role)}):(?P<hash>{HASH})")


@dataclass(frozen=True)
class ApiKey:
    """An API key. During a rotation, two keys have the same name: the old one and the new one."""

    name: str
    role: Role
    hash: str
    """SHA-256 of the key, in hexadecimal digits. The key is random and long, so a slow hash would protect no better."""

    @classmethod
    def parse(cls, text: str) -> "ApiKey":
        """The key in `name:role:hash`. Raises ValueError, without the text."""
        match = _ENTRY.fullmatch(text.strip())
        if match is None:
            raise ValueError("an entry is not name:role:hash")
        return cls(match["name"], Role(match["role"]), match["hash"])

    def __str__(self) -> str:
        return f"{self.name}:{self.role}:{self.hash}"


class ApiKeys:
    """The keys that the gateway accepts."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = tuple(keys)

    def caller(self, credential: str) -> Caller | None:
        """The caller with this key; None if it is no key."""
        presented = digest(credential)
        match: ApiKey | None = None
        # All are compared, so that the time does not tell which one it was.
        for key in self._keys:
            if is_same(presented, key.hash):
                match = key
        return Caller(owner=owner_of_key(match.name), role=match.role) if match else None
