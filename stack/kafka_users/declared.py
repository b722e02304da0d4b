"""What the stack declares: the users of Kafka, and what each of them may do."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Right:
    """One operation on one resource, as Kafka's ACLs name them."""

    user: str
    kind: str
    """`topic` or `group`."""
    name: str
    operation: str
    """In upper case, such as `READ`."""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The users with their passwords, and all rights. Kafka has no others."""

    passwords: Mapping[str, str]
    """User → password."""
    rights: frozenset[Right]

    @classmethod
    def read(cls, file: Path, environment: Mapping[str, str]) -> Self:
        """Read it.

        Args:
            file: JSON: `users`, a user's name → the variable with the password; `rights`, a list of objects with the
                fields of `Right`.
            environment: the variables.

        Raises:
            KeyError: A variable is not set.
        """
        document = json.loads(file.read_text())
        return cls(
            passwords={user: environment[variable] for user, variable in document["users"].items()},
            rights=frozenset(Right(**item) for item in document["rights"]),
        )
