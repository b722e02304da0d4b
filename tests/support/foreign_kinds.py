"""The kinds of operators of others, which the project does not have: their CustomResourceDefinitions in a folder."""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import kubernetes
import pytest
import yaml

from contracts.metadata import Manifest
from stack.polling import poll_until

FOLDER: Final = "WEB_CRAWL_TRACING_CRDS"
"""Variable with the folder, whose files have the definitions of one kind or several."""


class _Loader(yaml.CSafeLoader):
    """Reads `=` as the text that it is for all other programs; for PyYAML it is a type of YAML 1.1."""


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:value", _text)


def read_manifests(file: Path) -> list[Manifest]:
    """Return the objects in a file that an operator's release has."""
    return [item for item in yaml.load_all(file.read_text(), _Loader) if item]


@contextmanager
def installed_kinds(client: kubernetes.client.ApiClient, groups: Collection[str]) -> Iterator[set[str]]:
    """Create the definitions of some API groups, and delete them in the end.

    The test is skipped if the variable is not set, or the folder has no definition of a group.

    Yields:
        The kinds.
    """
    folder = os.environ.get(FOLDER)
    if not folder and groups:
        pytest.skip(f"{FOLDER} is not set: it names a folder with the CustomResourceDefinitions of the operators")
    files = sorted(Path(folder).glob("*.yaml")) if folder and groups else []
    documents = [item for file in files for item in read_manifests(file)]
    definitions = [item for item in documents if item["spec"]["group"] in groups]
    if missing := set(groups) - {item["spec"]["group"] for item in definitions}:
        pytest.skip(f"no definition of {', '.join(sorted(missing))} in {folder}")
    with defined(client, definitions):
        yield {item["spec"]["names"]["kind"] for item in definitions}


def definition(group: str, kind: str, *, namespaced: bool) -> Manifest:
    """Return the definition of a kind, of version v1, whose objects may have any field."""
    singular = kind.lower()
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{singular}s.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced" if namespaced else "Cluster",
            "names": {"kind": kind, "singular": singular, "plural": f"{singular}s", "listKind": f"{kind}List"},
            "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
        },
    }


@contextmanager
def defined(client: kubernetes.client.ApiClient, definitions: Collection[Manifest]) -> Iterator[None]:
    """Create definitions, and delete them in the end; they are gone when the context is left."""
    api = kubernetes.client.ApiextensionsV1Api(client)
    created: list[Manifest] = []
    try:
        for definition in definitions:
            api.create_custom_resource_definition(definition)
            created.append(definition)
        for name in map(_name, created):
            poll_until(f"{name} to be established", partial(_is_established, api, name))
        # The API server opens the storage of a kind when its objects are first listed. A deletion that finds it closed
        # is tried again minutes later.
        for definition in created:
            poll_until(f"the objects of {_name(definition)}", partial(_is_listed, client, definition))
        yield
    finally:
        for name in map(_name, created):
            api.delete_custom_resource_definition(name)
        for name in map(_name, created):
            poll_until(f"{name} to be gone", partial(_is_gone, api, name))


def _name(definition: Manifest) -> str:
    return str(definition["metadata"]["name"])


def _is_listed(client: kubernetes.client.ApiClient, definition: Manifest) -> bool:
    spec = definition["spec"]
    version = next(item["name"] for item in spec["versions"] if item["served"])
    try:
        kubernetes.client.CustomObjectsApi(client).list_cluster_custom_object(
            spec["group"], version, spec["names"]["plural"]
        )
    except kubernetes.client.ApiException:
        return False
    return True


def _is_gone(api: Any, name: str) -> bool:
    try:
        api.read_custom_resource_definition(name)
    except kubernetes.client.ApiException as error:
        if error.status != 404:
            raise
        return True
    return False


def _is_established(api: Any, name: str) -> bool:
    conditions = api.read_custom_resource_definition(name).status.conditions or ()
    return any(item.type == "Established" and item.status == "True" for item in conditions)


def create_namespace(client: kubernetes.client.ApiClient, name: str) -> None:
    """Create a namespace."""
    kubernetes.client.CoreV1Api(client).create_namespace({"metadata": {"name": name}})


def apply_strictly(client: kubernetes.client.ApiClient, namespace: str, manifests: Iterable[Manifest]) -> None:
    """Apply objects; the API server refuses fields that it does not know."""
    dynamic = kubernetes.dynamic.DynamicClient(client)
    for manifest in manifests:
        resource = dynamic.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
        dynamic.server_side_apply(
            resource,
            body=manifest,
            name=manifest["metadata"]["name"],
            namespace=namespace,
            field_manager="test",
            query_params=[("fieldValidation", "Strict")],
        )
