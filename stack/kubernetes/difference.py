"""How an object in the cluster differs from what the program declares, in words that show no secret."""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from contracts.metadata import FIELD_MANAGER, Manifest
from service.tracing.redaction.configuration import has_secret_in_clear, is_secret_name

Path = tuple[str, ...]

HIDDEN: Final = "(not shown)"
_LINES: Final = 12
# What the API server keeps of its own accord.
_KEPT: Final = frozenset({"resourceVersion", "managedFields", "generation", "uid", "creationTimestamp", "selfLink"})
# A restart by hand is an order, not a change of what is declared; the rest are Pulumi's and kubectl's notes for later.
_NOTES: Final = ("kubectl.kubernetes.io/restartedAt", "kubectl.kubernetes.io/last-applied-configuration", "pulumi.com/")
# Controllers that fill in what nobody declares.
_CONTROLLERS: Final = frozenset({"kube-controller-manager", "kube-scheduler", "kubelet", "cloud-controller-manager"})


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One field."""

    path: str
    live: str | None
    """What it is, in words; None where it is not there, or was added by `added_by`."""
    declared: str | None
    """What it would be; None where it would not be there."""
    added_by: str | None = None
    """Who has set a field that the program does not declare."""

    def __str__(self) -> str:
        if self.added_by:
            return f"{self.path}: set by {self.added_by}, not declared"
        if self.live is None:
            return f"{self.path}: missing, declared {self.declared}"
        if self.declared is None:
            return f"{self.path}: {self.live}, not declared"
        return f"{self.path}: {self.live}, declared {self.declared}"


def differences(live: Manifest, applied: Manifest) -> list[Difference]:
    """What applying the program would change, and what others have added that applying leaves alone.

    Args:
        live: an object as it is.
        applied: what it would be, as the API server answers to a dry run.
    """
    secret = live["kind"] == "Secret"
    changed = {path: (before, after) for path, before, after in _changed(_plain(live), _plain(applied), ())}
    found = [
        _lines(path, before, after, secret)
        if isinstance(before, str) and isinstance(after, str) and "\n" in before + after
        else Difference(path=_text(path), live=shown(path, before, secret), declared=shown(path, after, secret))
        for path, (before, after) in changed.items()
    ]
    return found + [
        Difference(path=_text(path), live=None, declared=None, added_by=manager)
        for path, manager in _added(live, applied)
        if path not in changed
    ]


def _plain(manifest: Manifest) -> Manifest:
    """Without what is not declared but kept by the API server, and without notes."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _KEPT}
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


def _changed(before: Any, after: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """Paths with what they hold on either side, None where they are not there."""
    if isinstance(before, list) and isinstance(after, list):
        first, second = _named(before), _named(after)
        if first is not None and second is not None:
            before, after = first, second
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _changed(before.get(key), after.get(key), (*path, key))
    elif before != after:
        yield path, before, after


def _named(items: list[Any]) -> dict[str, Any] | None:
    """A list's items by their names, where all have one and no two the same."""
    names = [f"[{item['name']}]" for item in items if isinstance(item, dict) and "name" in item]
    return dict(zip(names, items, strict=True)) if len(set(names)) == len(items) else None


def _text(path: Path) -> str:
    return "".join(part if part.startswith("[") else f".{part}" for part in path).removeprefix(".")


def _hidden(path: Path, value: Any, secret: bool) -> bool:
    if secret and path[0] in ("data", "stringData"):
        return True
    return any(is_secret_name(part.strip("[]")) for part in path) or has_secret_in_clear(json.dumps(value))


def shown(path: Path, value: Any, secret: bool) -> str | None:
    """A value as it may be printed; None if there is none."""
    if value is None:
        return None
    if _hidden(path, value, secret):
        return HIDDEN
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}…"


def _lines(path: Path, before: str, after: str, secret: bool) -> Difference:
    """A file's changed lines instead of the whole of it."""
    if _hidden(path, before, secret) or _hidden(path, after, secret):
        return Difference(path=_text(path), live=HIDDEN, declared=HIDDEN)
    changed = [
        line
        for line in difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
        if not line.startswith(("---", "+++", "@@"))
    ]
    live = [line[1:].strip()[:120] for line in changed if line.startswith("-")]
    declared = [line[1:].strip()[:120] for line in changed if line.startswith("+")]
    return Difference(path=_text(path), live=_few(live), declared=_few(declared))


def _few(lines: list[str]) -> str:
    more = f" and {len(lines) - _LINES} lines more" if len(lines) > _LINES else ""
    return " | ".join(repr(line) for line in lines[:_LINES]) + more if lines else "without these lines"


def _added(live: Manifest, applied: Manifest) -> Iterator[tuple[Path, str]]:
    """Fields that others have set and the program does not declare, a list's item as one, and who set them."""
    declared = {
        path
        for entry in _entries(applied)
        if entry["manager"] == FIELD_MANAGER
        for path in _fields(entry.get("fieldsV1") or {}, ())
    }
    said: set[Path] = set()
    for entry in _entries(live):
        if entry["manager"] in {FIELD_MANAGER, *_CONTROLLERS}:
            continue
        every = set(_fields(entry.get("fieldsV1") or {}, ()))
        above = {path[:-1] for path in every}
        for path in sorted(every - above - declared):
            whole = next((path[:end] for end in range(1, len(path)) if _is_new_item(path[:end], declared)), path)
            if whole not in said and not any(part.startswith(_NOTES) for part in whole):
                said.add(whole)
                yield whole, str(entry["manager"])


def _entries(manifest: Manifest) -> list[dict[str, Any]]:
    """Who owns what. Scaling has an entry of its own: where the number is declared it is compared, elsewhere free."""
    return [entry for entry in manifest["metadata"].get("managedFields") or [] if not entry.get("subresource")]


def _is_new_item(path: Path, declared: set[Path]) -> bool:
    return path[-1].startswith("[") and path not in declared


def _fields(tree: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """Paths of managedFields: `f:name` is a field, `k:{…}` a list's item by its keys, `v:…` a set's member."""
    for key, below in tree.items():
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
        yield from _fields(below, (*path, part))
