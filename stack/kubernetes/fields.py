"""Fields of objects: their paths, how they differ, and their values as they may be printed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from kubernetes.utils import parse_quantity

from lean_tracing.redaction.configuration import has_secret_in_clear, is_secret_name

Path = tuple[str, ...]
"""Names of fields from the top of an object; an item of a list is `[name]` or `[index]`."""

HIDDEN: Final = "(not shown)"
_MAX_LENGTH: Final = 120
_QUANTITIES: Final = frozenset({"storage", "cpu", "memory", "ephemeral-storage", "sizeLimit"})


def path_text(path: Path) -> str:
    """A path as people write it: `spec.ports[http].port`."""
    return "".join(part if part.startswith("[") else f".{part}" for part in path).removeprefix(".")


def is_hidden(path: Path, value: Any, *, of_secret: bool) -> bool:
    """Whether a value may be secret: by its object, by its path or by what it looks like."""
    if of_secret and path[0] in ("data", "stringData"):
        return True
    return any(is_secret_name(part.strip("[]")) for part in path) or has_secret_in_clear(json.dumps(value))


def printable(path: Path, value: Any, *, of_secret: bool) -> str | None:
    """A value as it may be printed; None if there is none."""
    if value is None:
        return None
    if is_hidden(path, value, of_secret=of_secret):
        return HIDDEN
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}…"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A field whose declared value is not its value in the cluster."""

    path: Path
    live: Any
    declared: Any


def changes(live: Any, declared: Any, path: Path = ()) -> Iterator[Change]:
    """The declared fields that have another value in the cluster. Fields that are not declared do not count."""
    if isinstance(declared, dict) and isinstance(live, dict):
        for field, value in declared.items():
            yield from changes(live.get(field), value, (*path, field))
    elif isinstance(declared, list) and isinstance(live, list) and len(declared) == len(live):
        for index, (live_item, declared_item) in enumerate(zip(live, declared, strict=True)):
            yield from changes(live_item, declared_item, (*path, f"[{_item_name(declared_item, index)}]"))
    elif not _is_same(live, declared, path[-1] if path else ""):
        yield Change(path=path, live=live, declared=declared)


def _item_name(item: Any, index: int) -> str:
    if isinstance(item, dict):
        return str(item.get("name") or (item.get("metadata") or {}).get("name") or index)
    return str(index)


def _is_same(live: Any, declared: Any, field: str) -> bool:
    if live == declared:
        return True
    if field in _QUANTITIES and live is not None and declared is not None:
        return bool(parse_quantity(live) == parse_quantity(declared))
    return not live and not declared  # the API server leaves empty fields out
