"""Whether the API server takes what is declared: asked before anything is changed.

Every object is applied as a dry run, so the API server judges by itself: fields that it does not change any more,
quotas, policies of the cluster, what is being deleted. No list of such fields is kept here. The one change among them
that can be carried out is a larger volume (`growth.py`).
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import kubernetes
from kubernetes.dynamic.exceptions import ApiException
from kubernetes.utils import parse_quantity

from contracts.metadata import Manifest
from service.tracing.redaction.configuration import has_secret_in_clear
from stack.errors import DeployError, reason
from stack.kubernetes import volume_growth
from stack.kubernetes.difference import shown
from stack.kubernetes.objects import Key, Objects, encoded, key, name
from stack.kubernetes.volume_growth import Growth

_QUANTITIES: Final = frozenset({"storage", "cpu", "memory", "ephemeral-storage", "sizeLimit"})
_NO_DRY_RUN: Final = "does not support dry run"

Path = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A field that is declared with another value than it has."""

    path: Path
    live: Any
    declared: Any


class Place(Protocol):
    """A namespace that can be asked what would become of an object: `Objects`."""

    def present(self, which: Key) -> Manifest | None: ...

    def apply(self, manifest: Manifest, *, dry_run: bool) -> Manifest: ...


def require(
    client: kubernetes.client.ApiClient,
    namespace: str,
    manifests: Sequence[Manifest],
    *,
    lenient: bool = False,
    changed: str = "Nothing was changed.",
) -> list[Growth]:
    """Nothing if the API server takes all objects; volumes that have to be enlarged before it does.

    Args:
        client: from `connect`.
        namespace: the stack's namespace.
        manifests: what is declared.
        lenient: who asks may lack the right to change anything, as for a preview.
        changed: what was changed before, for the message.

    Raises:
        DeployError: names each object that the API server would refuse, the field, what it is and would be, and what
            to do. Nothing was changed.
    """
    objects = Objects(client, namespace)
    try:
        there = objects.present(("v1", "Namespace", namespace))
    except ApiException as error:
        if error.status != 403:
            raise
        if lenient:
            return []
        raise DeployError(f"the right to read namespace {namespace} is missing: {reason(error)}. {changed}") from None
    if there is None:
        return []  # so none of the objects is, either, and none could be asked about
    problems = [_leaving(there)] if there["metadata"].get("deletionTimestamp") else []
    enlarged: list[Growth] = []
    for manifest in [] if problems else manifests:
        try:
            answer = objects.apply(manifest, dry_run=True)
        except ApiException as error:
            if _cannot_judge(error) or (lenient and error.status == 403):
                continue
            try:
                found = refused(objects, manifest, error)
            except ApiException as other:
                if lenient and other.status == 403:
                    continue
                problems.append(f"{name(manifest)}: {reason(other)}")
                continue
            if isinstance(found, Growth):
                problems += volume_growth.problems(client, namespace, found)
                enlarged.append(found)
            else:
                problems += found
        else:
            if answer["metadata"].get("deletionTimestamp"):
                problems.append(_leaving(answer))
    if problems:
        raise DeployError("\n  ".join([f"the cluster would not take what is declared. {changed}", *problems]))
    return enlarged


def _cannot_judge(error: ApiException) -> bool:
    """Whether something in the cluster cannot answer to a dry run; the real request shows."""
    return _NO_DRY_RUN in reason(error)


def _leaving(present: Manifest) -> str:
    """An object that is being deleted, and what holds it."""
    finalizers = present["metadata"].get("finalizers") or []
    conditions = [
        condition["message"]
        for condition in (present.get("status") or {}).get("conditions") or []
        if condition["status"] == "True" and condition.get("message")
    ]
    spec = present.get("spec") or {}
    held = [*finalizers, *(spec.get("finalizers") or [] if present["kind"] == "Namespace" else []), *conditions]
    why = f", held by {'; '.join(map(str, held))}" if held else ""
    return f"{name(present)}: is being deleted{why}. Deploy again when it is gone"


def refused(objects: Place, manifest: Manifest, error: ApiException) -> Growth | list[str]:
    """What a refusal comes to: volumes to be enlarged; or what is wrong, each with its field and what to do."""
    manifest = encoded(manifest)
    live = objects.present(key(manifest))
    if live is None or error.status != 422 or not _is_right(objects, manifest):
        return [f"{name(manifest)}: {_said(error)}"]  # it is wrong in itself
    found = refused_fields(objects, manifest, live)
    if not found:
        return [f"{name(manifest)}: {_said(error)}"]
    grown = volume_growth.of(live, manifest, found)
    if grown and _is_taken(objects, volume_growth.without(live, manifest)):
        return grown
    return [volume_growth.advice(manifest, change) or _cannot_change(manifest, change, error) for change in found]


def _cannot_change(manifest: Manifest, change: Change, error: ApiException) -> str:
    secret = manifest["kind"] == "Secret"
    was, now = (shown(change.path, value, secret) or "unset" for value in (change.live, change.declared))
    how = f"kubectl -n {manifest['metadata'].get('namespace')} delete {name(manifest)}"
    if manifest["kind"] in ("Deployment", "StatefulSet"):
        what = f"`{how}` ends its pods and keeps the volumes; the next deployment makes it with the new value"
    elif secret:
        what = f"keep its values (`kubectl get -o yaml`), delete it with `{how}`, make it again with them, deploy"
    else:
        what = f"`{how}` removes it; the next deployment makes it with the new value"
    why = f"the API server refuses it ({_said(error)})"
    return (
        f"{name(manifest)}: {text(change.path)} is {was} and would be {now}: {why}. Take the change back; or, when it "
        f"may be away for a while, {what}"
    )


def _said(error: ApiException) -> str:
    """What the API server says, unless it repeats what may be a secret."""
    said, *_ = reason(error).splitlines() or [""]
    return "it gives no reason that can be shown" if has_secret_in_clear(said) else said


def _is_right(objects: Place, manifest: Manifest) -> bool:
    """Whether an object is taken if it is new. A refusal of one more, by a quota, says nothing against it."""
    try:
        return _is_taken(objects, _renamed(manifest))
    except ApiException as error:
        if error.status != 403:
            raise
        return True


def _renamed(manifest: Manifest) -> Manifest:
    """The same object, as if it were new."""
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "name": f"{metadata['name'][:50]}-new"}}


def text(path: Path) -> str:
    """A path as people write it."""
    return "".join(part if part.startswith("[") else f".{part}" for part in path).removeprefix(".")


def refused_fields(objects: Place, manifest: Manifest, live: Manifest) -> list[Change]:
    """The fields for which the API server refuses a manifest, found by trying them one by one.

    Its own message often names none ("updates to statefulset spec for fields other than …").
    """
    units = [unit for unit in _units(manifest) if any(changes(_get(live, unit), _get(manifest, unit), unit))]
    return [
        change
        for unit in units
        if not _is_taken(objects, _as_live(manifest, live, [other for other in units if other != unit]))
        for change in changes(_get(live, unit), _get(manifest, unit), unit)
    ]


def _is_taken(objects: Place, manifest: Manifest) -> bool:
    try:
        objects.apply(manifest, dry_run=True)
    except ApiException as error:
        if error.status != 422:
            raise
        return False
    return True


def _units(manifest: Manifest) -> list[Path]:
    """What is tried one by one: the fields of `spec`, and the others at the top."""
    units: list[Path] = []
    for field, value in manifest.items():
        if field not in ("apiVersion", "kind", "metadata"):
            units += [(field, inner) for inner in value] if isinstance(value, dict) and field == "spec" else [(field,)]
    return units


def _get(manifest: Manifest, path: Path) -> Any:
    value: Any = manifest
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _as_live(manifest: Manifest, live: Manifest, units: Sequence[Path]) -> Manifest:
    """A manifest with the values of the cluster in some of its fields."""
    copied: Manifest = copy.deepcopy(manifest)
    for *above, last in units:
        inside = _get(copied, tuple(above))
        value = _get(live, (*above, last))
        if value is None:
            del inside[last]
        else:
            inside[last] = value
    return copied


def changes(live: Any, declared: Any, path: Path = ()) -> Iterator[Change]:
    """The declared fields that are not so in the cluster; what is not declared does not count."""
    if isinstance(declared, dict) and isinstance(live, dict):
        for field, value in declared.items():
            yield from changes(live.get(field), value, (*path, field))
    elif isinstance(declared, list) and isinstance(live, list) and len(declared) == len(live):
        for number, (before, after) in enumerate(zip(live, declared, strict=True)):
            yield from changes(before, after, (*path, f"[{_item(after, number)}]"))
    elif not _same(live, declared, path[-1] if path else ""):
        yield Change(path=path, live=live, declared=declared)


def _item(value: Any, number: int) -> str:
    if isinstance(value, dict):
        return str(value.get("name") or (value.get("metadata") or {}).get("name") or number)
    return str(number)


def _same(live: Any, declared: Any, field: str) -> bool:
    if live == declared:
        return True
    if field in _QUANTITIES and live is not None and declared is not None:
        return bool(parse_quantity(live) == parse_quantity(declared))
    return not live and not declared  # the API server leaves empty fields out
