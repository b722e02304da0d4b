"""Why the API server refuses an object, and what to do about it.

The API server itself is asked, by dry runs: this module keeps no list of the fields that Kubernetes does not change.
"""

import copy
from collections.abc import Sequence
from typing import Any, Protocol

from kubernetes.dynamic.exceptions import ApiException

from contracts.metadata import Manifest
from lean_tracing.redaction.configuration import has_secret_in_clear
from stack.kubernetes import volume_growth
from stack.kubernetes.failures import api_message
from stack.kubernetes.fields import Change, Path, changes, path_text, printable
from stack.kubernetes.keys import ObjectKey, object_key, object_name
from stack.kubernetes.objects import encoded
from stack.kubernetes.volume_growth import Growth


class DryRunObjects(Protocol):
    """A namespace whose API server answers dry runs: `Objects`."""

    def get(self, key: ObjectKey) -> Manifest | None: ...

    def apply(self, manifest: Manifest, *, dry_run: bool) -> Manifest: ...


def explain_refusal(objects: DryRunObjects, manifest: Manifest, error: ApiException) -> Growth | list[str]:
    """Explains why a manifest was refused.

    Returns:
        The volumes to enlarge, if nothing else is refused; otherwise the problems, each with its field and what to do.
    """
    manifest = encoded(manifest)
    live = objects.get(object_key(manifest))
    if live is None or error.status != 422 or not _is_valid(objects, manifest):
        return [f"{object_name(manifest)}: {_safe_message(error)}"]
    refused = refused_changes(objects, manifest, live)
    if not refused:
        return [f"{object_name(manifest)}: {_safe_message(error)}"]
    growth = volume_growth.find_growth(live, manifest, refused)
    if growth and _is_accepted(objects, volume_growth.with_live_templates(live, manifest)):
        return growth
    return [
        volume_growth.template_advice(manifest, change) or _immutable_field(manifest, change, error)
        for change in refused
    ]


def _immutable_field(manifest: Manifest, change: Change, error: ApiException) -> str:
    of_secret = manifest["kind"] == "Secret"
    live, declared = (
        printable(change.path, value, of_secret=of_secret) or "unset" for value in (change.live, change.declared)
    )
    command = f"kubectl -n {manifest['metadata'].get('namespace')} delete {object_name(manifest)}"
    if manifest["kind"] in ("Deployment", "StatefulSet"):
        remedy = f"`{command}` ends its pods and keeps the volumes; the next deployment creates it with the new value"
    elif of_secret:
        remedy = (
            f"keep its values (`kubectl get -o yaml`), delete it with `{command}`, create it again with them, deploy"
        )
    else:
        remedy = f"`{command}` removes it; the next deployment creates it with the new value"
    return (
        f"{object_name(manifest)}: {path_text(change.path)} is {live} and would be {declared}: the API server refuses "
        f"it ({_safe_message(error)}). Take the change back; or, if it may be unavailable for a while, {remedy}"
    )


def _safe_message(error: ApiException) -> str:
    """The API server's message, unless it repeats what may be a secret."""
    message, *_ = api_message(error).splitlines() or [""]
    return "it gives no reason that can be shown" if has_secret_in_clear(message) else message


def _is_valid(objects: DryRunObjects, manifest: Manifest) -> bool:
    """Whether the API server accepts the manifest as a new object. A quota's refusal does not make it invalid."""
    try:
        return _is_accepted(objects, _renamed(manifest))
    except ApiException as error:
        if error.status != 403:
            raise
        return True


def _renamed(manifest: Manifest) -> Manifest:
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "name": f"{metadata['name'][:50]}-new"}}


def refused_changes(objects: DryRunObjects, manifest: Manifest, live: Manifest) -> list[Change]:
    """The changes that the API server refuses, found by trying the fields one by one.

    Its message often names none ("updates to statefulset spec for fields other than …").
    """
    changed = [path for path in _top_fields(manifest) if any(changes(_get(live, path), _get(manifest, path), path))]
    return [
        change
        for path in changed
        if not _is_accepted(objects, _with_live_values(manifest, live, [other for other in changed if other != path]))
        for change in changes(_get(live, path), _get(manifest, path), path)
    ]


def _is_accepted(objects: DryRunObjects, manifest: Manifest) -> bool:
    try:
        objects.apply(manifest, dry_run=True)
    except ApiException as error:
        if error.status != 422:
            raise
        return False
    return True


def _top_fields(manifest: Manifest) -> list[Path]:
    """The fields that are tried one by one: those of `spec`, and the others at the top."""
    paths: list[Path] = []
    for field, value in manifest.items():
        if field not in ("apiVersion", "kind", "metadata"):
            paths += [(field, inner) for inner in value] if isinstance(value, dict) and field == "spec" else [(field,)]
    return paths


def _get(manifest: Manifest, path: Path) -> Any:
    value: Any = manifest
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _with_live_values(manifest: Manifest, live: Manifest, paths: Sequence[Path]) -> Manifest:
    """A manifest whose fields at these paths have the values of the cluster."""
    mixed: Manifest = copy.deepcopy(manifest)
    for *parents, field in paths:
        parent = _get(mixed, tuple(parents))
        value = _get(live, (*parents, field))
        if value is None:
            del parent[field]
        else:
            parent[field] = value
    return mixed
