"""The objects of a namespace, of any kind, as plain manifests."""

import base64
import contextlib
from dataclasses import dataclass
from typing import Any, Final

import kubernetes
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ApiException, NotFoundError, ResourceNotFoundError
from kubernetes.dynamic.resource import ResourceList

from contracts import metadata
from contracts.metadata import Manifest
from stack.errors import DeployError
from stack.kubernetes.client import REQUEST_SECONDS
from stack.kubernetes.failures import api_message
from stack.kubernetes.keys import ObjectKey, object_key, object_name

# Generated reports on other objects.
_REPORTS: Final = frozenset({"Event", "PodMetrics"})
_DYNAMIC: Final = "dynamic_client"


def dynamic_client(client: kubernetes.client.ApiClient) -> DynamicClient:
    """Returns the client for objects of any kind: one for each `client`, since each reads the kinds of the cluster.

    A kind that the cluster gets later is found, too: if there is no such kind, the API server is asked again.
    """
    kept = vars(client)
    if (dynamic := kept.get(_DYNAMIC)) is None:
        dynamic = kept[_DYNAMIC] = DynamicClient(client)
    return dynamic


@dataclass(frozen=True)
class Objects:
    """A namespace of a real cluster. Every method raises ApiException if the API server refuses the request."""

    client: kubernetes.client.ApiClient
    namespace: str

    def list_all(self) -> tuple[list[Manifest], list[str]]:
        """All objects, of every kind that the cluster knows; and the kinds that could not be listed."""
        objects: list[Manifest] = []
        unlisted: list[str] = []
        for resource in self._dynamic.resources.search(preferred=True):
            # For a kind without namespaces, a request for one namespace returns the objects of the whole cluster.
            if not resource.namespaced or isinstance(resource, ResourceList):
                continue
            if "list" not in resource.verbs or resource.kind in _REPORTS:
                continue
            try:
                listed = resource.get(namespace=self.namespace, _request_timeout=REQUEST_SECONDS).to_dict()
            except ApiException as error:
                if error.status not in (404, 405):
                    unlisted.append(f"{resource.kind} ({error.reason})")
                continue
            # The items of a list have no apiVersion and kind.
            type_ = {"apiVersion": resource.group_version, "kind": resource.kind}
            objects += [{**type_, **item} for item in listed["items"]]
        return objects, unlisted

    def list_kind(self, api_version: str, kind: str, **options: Any) -> list[Manifest]:
        """The objects of a kind; `options` are those of the request, for example `label_selector`.

        The client's own classes would do the same, but importing those of pods and workloads takes half a second.
        """
        resource = self._dynamic.resources.get(api_version=api_version, kind=kind)
        listed = resource.get(namespace=self.namespace, _request_timeout=REQUEST_SECONDS, **options).to_dict()
        items: list[Manifest] = listed["items"]
        return items

    def get(self, key: ObjectKey) -> Manifest | None:
        """An object; None if it does not exist."""
        resource, options = self._resource(key)
        try:
            manifest: Manifest = resource.get(**options).to_dict()
        except NotFoundError:
            return None
        return manifest

    def apply(self, manifest: Manifest, *, dry_run: bool = False, manager: str = metadata.FIELD_MANAGER) -> Manifest:
        """Applies an object server-side, as field manager `manager`.

        Returns:
            The object afterwards, or, with `dry_run`, as it would be.
        """
        resource, options = self._resource(object_key(manifest))
        applied: Manifest = self._dynamic.server_side_apply(
            resource,
            body=encoded(manifest),
            field_manager=manager,
            force_conflicts=True,
            **({"dry_run": "All"} if dry_run else {}),
            **options,
        ).to_dict()
        return applied

    def delete(self, key: ObjectKey, *, foreground: bool) -> bool:
        """Asks the API server to delete an object.

        Args:
            key: The object.
            foreground: Delete its dependents first, so that once it is gone they are gone too. Otherwise its name is
                free at once.

        Returns:
            Whether the object existed.
        """
        resource, options = self._resource(key)
        with contextlib.suppress(NotFoundError):
            resource.delete(body={"propagationPolicy": "Foreground" if foreground else "Background"}, **options)
            return True
        return False

    @property
    def _dynamic(self) -> DynamicClient:
        return dynamic_client(self.client)

    def _resource(self, key: ObjectKey) -> tuple[Any, dict[str, Any]]:
        try:
            resource = self._dynamic.resources.get(api_version=key.api_version, kind=key.kind)
        except ResourceNotFoundError:
            # Without the kind, there is no object of it either.
            message = f"the cluster has no kind {key.kind} of {key.api_version}"
            raise NotFoundError(kubernetes.client.ApiException(status=404, reason=message)) from None
        namespace = self.namespace if resource.namespaced else None
        return resource, {"name": key.name, "namespace": namespace, "_request_timeout": REQUEST_SECONDS}


def encoded(manifest: Manifest) -> Manifest:
    """A Secret with its `stringData` encoded into `data`; every other object as it is.

    With `stringData` applied, a removed key would stay: no field manager owns the `data` that it was encoded to.
    """
    if manifest["kind"] != "Secret":
        return manifest
    data = manifest.get("data", {}) | {
        key: base64.b64encode(text.encode()).decode() for key, text in manifest.get("stringData", {}).items()
    }
    return {**{key: value for key, value in manifest.items() if key != "stringData"}, "data": data}


def read_object(client: kubernetes.client.ApiClient, namespace: str, key: ObjectKey) -> Manifest | None:
    """Reads an object; None if it does not exist.

    Raises:
        DeployError: It cannot be read.
    """
    try:
        return Objects(client, namespace).get(key)
    except ApiException as error:
        raise DeployError(f"{key.kind} {namespace}/{key.name} cannot be read: {api_message(error)}") from None


def read_secret(client: kubernetes.client.ApiClient, namespace: str, name: str) -> dict[str, str]:
    """Reads the values of a Secret, decoded; empty if it does not exist.

    Raises:
        DeployError: It cannot be read.
    """
    secret = read_object(client, namespace, ObjectKey("v1", "Secret", name)) or {}
    return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}


def apply_object(objects: Objects, manifest: Manifest) -> bool:
    """Applies one object.

    Returns:
        Whether that changed it.

    Raises:
        DeployError: The API server refused it.
    """
    try:
        previous = objects.get(object_key(manifest))
        current = objects.apply(manifest)
    except ApiException as error:
        raise DeployError(f"{object_name(manifest)} was refused: {api_message(error)}") from None
    return not previous or bool(current["metadata"]["resourceVersion"] != previous["metadata"]["resourceVersion"])
