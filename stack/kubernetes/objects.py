"""The objects of a namespace, whatever their kind, as plain manifests."""

import base64
import contextlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import kubernetes
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ApiException, NotFoundError
from kubernetes.dynamic.resource import ResourceList

from contracts import metadata
from contracts.metadata import Manifest

Key = tuple[str, str, str]
"""apiVersion, kind and name of an object in the stack's namespace."""

ANSWER_SECONDS: Final = 30
"""For one request to the API server."""
# Not made by anybody: reports on other objects.
_REPORTS: Final = frozenset({"Event", "PodMetrics"})


def key(manifest: Manifest) -> Key:
    """What an object is known by within its namespace."""
    return manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"]


def name(manifest: Manifest) -> str:
    """What people call it."""
    return f"{manifest['kind'].lower()}/{manifest['metadata']['name']}"


@dataclass(frozen=True)
class Objects:
    """A namespace of a real cluster. Everything raises ApiException where the API server refuses."""

    client: kubernetes.client.ApiClient
    namespace: str

    def everything(self) -> tuple[list[Manifest], list[str]]:
        """All objects, of every kind that the cluster knows; and the kinds that could not be listed."""
        found: list[Manifest] = []
        unseen: list[str] = []
        for resource in self._dynamic.resources.search(preferred=True):
            # Asked for the objects of a namespace, a kind that has none answers with those of the whole cluster.
            if not resource.namespaced or isinstance(resource, ResourceList):
                continue
            if "list" not in resource.verbs or resource.kind in _REPORTS:
                continue
            try:
                listed = resource.get(namespace=self.namespace, _request_timeout=ANSWER_SECONDS).to_dict()
            except ApiException as error:
                if error.status not in (404, 405):
                    unseen.append(f"{resource.kind} ({error.reason})")
                continue
            # A list's items do not say what they are.
            found += [{"apiVersion": resource.group_version, "kind": resource.kind, **item} for item in listed["items"]]
        return found, unseen

    def present(self, which: Key) -> Manifest | None:
        """An object; None if there is none."""
        resource, options = self._resource(which)
        try:
            found: Manifest = resource.get(**options).to_dict()
        except NotFoundError:
            return None
        return found

    def apply(self, manifest: Manifest, *, dry_run: bool = False, manager: str = metadata.FIELD_MANAGER) -> Manifest:
        """Applies an object server-side, as ours unless `manager` says otherwise; what it is then, or would be."""
        resource, options = self._resource(key(manifest))
        applied: Manifest = self._dynamic.server_side_apply(
            resource,
            body=encoded(manifest),
            field_manager=manager,
            force_conflicts=True,
            **({"dry_run": "All"} if dry_run else {}),
            **options,
        ).to_dict()
        return applied

    def delete(self, which: Key, *, foreground: bool) -> bool:
        """Asks for an object's end; whether it was there.

        Args:
            which: the object.
            foreground: whatever it made goes first, so that gone means gone; else its name is free at once.
        """
        resource, options = self._resource(which)
        with contextlib.suppress(NotFoundError):
            resource.delete(body={"propagationPolicy": "Foreground" if foreground else "Background"}, **options)
            return True
        return False

    @cached_property
    def _dynamic(self) -> DynamicClient:
        return DynamicClient(self.client)

    def _resource(self, which: Key) -> tuple[Any, dict[str, Any]]:
        api_version, kind, name_ = which
        resource = self._dynamic.resources.get(api_version=api_version, kind=kind)
        namespace = self.namespace if resource.namespaced else None
        return resource, {"name": name_, "namespace": namespace, "_request_timeout": ANSWER_SECONDS}


def encoded(manifest: Manifest) -> Manifest:
    """A Secret's texts as they are kept. Applied as text a key would never go: nobody owns what it is encoded to."""
    if manifest["kind"] != "Secret":
        return manifest
    data = manifest.get("data", {}) | {
        key: base64.b64encode(text.encode()).decode() for key, text in manifest.get("stringData", {}).items()
    }
    return {**{key: value for key, value in manifest.items() if key != "stringData"}, "data": data}
