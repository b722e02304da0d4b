"""Replaces Grafana's variables in a query, as Grafana does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_NAMED: Final = re.compile(r"\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|\[\[(?P<old>\w+)\]\]|\$(?P<plain>\w+)")
_LEFT: Final = re.compile(r"\$\{?[A-Za-z_]|\[\[")


class UnknownVariable(ValueError):
    """A query names a variable that its dashboard does not have; Grafana would send it unchanged."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """The time of a query, in s since the epoch, and the distance between two points, in s."""

    start: float
    end: float
    step: int

    @property
    def seconds(self) -> int:
        return round(self.end - self.start)


def built_in(window: Window, scrape_seconds: int) -> dict[str, str]:
    """Grafana's built-in variables."""
    rate = max(window.step + scrape_seconds, 4 * scrape_seconds)
    return {
        "__interval": f"{window.step}s",
        "__interval_ms": str(window.step * 1000),
        "__rate_interval": f"{rate}s",
        "__range": f"{window.seconds}s",
        "__range_s": str(window.seconds),
        "__range_ms": str(window.seconds * 1000),
        "__from": str(round(window.start * 1000)),
        "__to": str(round(window.end * 1000)),
    }


def substitute(text: str, values: Mapping[str, str]) -> str:
    """`text` with every `$name`, `${name}`, `${name:format}` and `[[name]]` replaced.

    Raises:
        UnknownVariable: one of them is not in `values`.
    """

    def value(match: re.Match[str]) -> str:
        name = match["braced"] or match["old"] or match["plain"]
        if name.isdigit():  # $1 of label_replace
            return match[0]
        if name not in values:
            raise UnknownVariable(f"there is no variable {name!r}")
        return values[name]

    done = _NAMED.sub(value, text)
    if left := _LEFT.search(done):
        raise UnknownVariable(f"{done[left.start() : left.start() + 20]!r} is no variable")
    return done
