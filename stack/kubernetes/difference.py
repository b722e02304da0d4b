"""Compares an object in the cluster with the declared one, without showing a secret."""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from contracts.metadata import FIELD_MANAGER, Manifest
from stack.kubernetes.fields import HIDDEN, Path, is_hidden, path_text, printable

_LINES: Final = 12
# Metadata that the API server itself maintains.
_MAINTAINED: Final = frozenset(
    {"resourceVersion", "managedFields", "generation", "uid", "creationTimestamp", "selfLink"}
)
# `kubectl rollout restart` is no change of what is declared; the others are bookkeeping of kubectl and Pulumi.
_NOTES: Final = ("kubectl.kubernetes.io/restartedAt", "kubectl.kubernetes.io/last-applied-configuration", "pulumi.com/")
CONTROLLERS: Final = frozenset({"kube-controller-manager", "kube-scheduler", "kubelet", "cloud-controller-manager"})
"""Field managers of controllers, which fill in fields that no manifest declares."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A field that differs."""

    path: str
    live: str | None
    """Its value as it may be printed; None if the field does not exist, or was added by `added_by`."""
    declared: str | None
    """Its declared value; None if it is not declared."""
    added_by: str | None = None
    """The field manager of a field that the program does not declare."""

    def __str__(self) -> str:
        if self.added_by:
            return f"{self.path}: set by {self.added_by}, not declared"
        if self.live is None:
            return f"{self.path}: missing, declared {self.declared}"
        if self.declared is None:
            return f"{self.path}: {self.live}, not declared"
        return f"{self.path}: {self.live}, declared {self.declared}"


def differences(live: Manifest, applied: Manifest) -> list[Difference]:
    """The fields that applying the program would change, and the fields of others that it would leave alone.

    Args:
        live: An object as it is.
        applied: The object as it would be: the API server's answer to a dry run.
    """
    of_secret = live["kind"] == "Secret"
    changed = {path: values for path, *values in _changed(_plain(live), _plain(applied), ())}
    return [_difference(path, old, new, of_secret=of_secret) for path, (old, new) in changed.items()] + [
        Difference(path=path_text(path), live=None, declared=None, added_by=manager)
        for path, manager in _added(live, applied)
        if path not in changed
    ]


def _difference(path: Path, live: Any, declared: Any, *, of_secret: bool) -> Difference:
    if isinstance(live, str) and isinstance(declared, str) and "\n" in live + declared:
        return _changed_lines(path, live, declared, of_secret=of_secret)
    return Difference(
        path=path_text(path),
        live=printable(path, live, of_secret=of_secret),
        declared=printable(path, declared, of_secret=of_secret),
    )


def _plain(manifest: Manifest) -> Manifest:
    """A manifest without status, bookkeeping and what the API server maintains."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _MAINTAINED}
    plain: Manifest = _without_notes({**manifest, "metadata": metadata})
    plain.pop("status", None)
    return plain


def _without_notes(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_notes(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_notes(item) for key, item in value.items() if not key.startswith(_NOTES)}
    if not kept.get("annotations", True):
        del kept["annotations"]
    return kept


def _changed(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """The paths that differ, each with the values of both sides; None for a field that one side does not have."""
    if isinstance(old, list) and isinstance(new, list):
        old_items, new_items = _by_name(old), _by_name(new)
        if old_items is not None and new_items is not None:
            old, new = old_items, new_items
    if isinstance(old, dict) and isinstance(new, dict):
        for field in sorted(old.keys() | new.keys()):
            yield from _changed(old.get(field), new.get(field), (*path, field))
    elif old != new:
        yield path, old, new


def _by_name(items: list[Any]) -> dict[str, Any] | None:
    """The items of a list by their names; None unless each has a name of its own."""
    names = [f"[{item['name']}]" for item in items if isinstance(item, dict) and "name" in item]
    return dict(zip(names, items, strict=True)) if len(set(names)) == len(items) else None


def _changed_lines(path: Path, old: str, new: str, *, of_secret: bool) -> Difference:
    """The changed lines of a file instead of the whole file."""
    if is_hidden(path, old, of_secret=of_secret) or is_hidden(path, new, of_secret=of_secret):
        return Difference(path=path_text(path), live=HIDDEN, declared=HIDDEN)
    changed = [
        line
        for line in difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
        if not line.startswith(("---", "+++", "@@"))
    ]
    removed = [line[1:].strip()[:120] for line in changed if line.startswith("-")]
    added = [line[1:].strip()[:120] for line in changed if line.startswith("+")]
    return Difference(path=path_text(path), live=_first_lines(removed), declared=_first_lines(added))


def _first_lines(lines: list[str]) -> str:
    rest = f" and {len(lines) - _LINES} lines more" if len(lines) > _LINES else ""
    return " | ".join(repr(line) for line in lines[:_LINES]) + rest if lines else "without these lines"


def _added(live: Manifest, applied: Manifest) -> Iterator[tuple[Path, str]]:
    """Fields that the program does not declare, each with its field manager. An item of a list counts as one field."""
    declared = {
        path
        for entry in _owner_entries(applied)
        if entry["manager"] == FIELD_MANAGER
        for path in _owned_paths(entry.get("fieldsV1") or {}, ())
    }
    reported: set[Path] = set()
    for entry in _owner_entries(live):
        if entry["manager"] in {FIELD_MANAGER, *CONTROLLERS}:
            continue
        owned = set(_owned_paths(entry.get("fieldsV1") or {}, ()))
        parents = {path[:-1] for path in owned}
        for path in sorted(owned - parents - declared):
            prefixes = (path[:end] for end in range(1, len(path)))
            field = next((prefix for prefix in prefixes if _is_new_item(prefix, declared)), path)
            if field not in reported and not any(part.startswith(_NOTES) for part in field):
                reported.add(field)
                yield field, str(entry["manager"])


def _owner_entries(manifest: Manifest) -> list[dict[str, Any]]:
    """The entries of managedFields, without those of a subresource.

    Scaling has an entry of its own: a declared number of pods is compared by value, and one that is not declared may be
    changed by anyone.
    """
    return [entry for entry in manifest["metadata"].get("managedFields") or [] if not entry.get("subresource")]


def _is_new_item(path: Path, declared: set[Path]) -> bool:
    return path[-1].startswith("[") and path not in declared


def _owned_paths(fields: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """The paths in `fieldsV1`: `f:name` is a field, `k:{…}` an item of a list by its keys, `v:…` a member of a set."""
    for key, children in fields.items():
        kind, _, name = key.partition(":")
        if kind == "f":
            part = name
        elif kind == "k":
            part = f"[{','.join(str(value) for value in json.loads(name).values())}]"
        elif kind == "v":
            part = f"[{name}]"
        else:
            continue
        yield (*path, part)
        yield from _owned_paths(children, (*path, part))
