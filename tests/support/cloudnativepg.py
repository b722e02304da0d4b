"""CloudNativePG, which the project does not have: its operator runs on the local cluster."""

import contextlib
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import kubernetes
import pytest
from kubernetes.dynamic.exceptions import NotFoundError

from contracts.metadata import Manifest
from local.cluster import Cluster
from local.jobs import Progress
from stack.polling import poll_until
from tests.support.foreign_kinds import apply_strictly, read_manifests

FOLDER: Final = "WEB_CRAWL_TRACING_CLOUDNATIVEPG"
"""Variable with a folder that has the release of the operator, `cloudnative-pg.yaml`, and images as `docker save`
writes them: `operator.tar` and `postgresql.tar`."""
_NAMESPACE: Final = "cnpg-system"
_OPERATOR: Final = "cnpg-controller-manager"


@contextlib.contextmanager
def cloudnativepg_operator(client: kubernetes.client.ApiClient, directory: Path) -> Iterator[str]:
    """Run the operator; the test is skipped if the variable is not set.

    Args:
        client: of the local cluster.
        directory: for the log of the import of the images.

    Yields:
        The reference of the image of PostgreSQL.
    """
    folder = Path(os.environ.get(FOLDER) or pytest.skip(f"{FOLDER} is not set: it names a folder with CloudNativePG"))
    manifests = read_manifests(folder / "cloudnative-pg.yaml")
    for deployment in (item for item in manifests if item["kind"] == "Deployment"):
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            container["imagePullPolicy"] = "IfNotPresent"
    apps = kubernetes.client.AppsV1Api(client)
    images = {archive: _reference(archive) for archive in (folder / "operator.tar", folder / "postgresql.tar")}
    with _loaded(images, directory):
        try:
            apply_strictly(client, _NAMESPACE, manifests)
            poll_until(
                "the operator",
                lambda: apps.read_namespaced_deployment(_OPERATOR, _NAMESPACE).status.available_replicas,
                seconds=120,
                every=1,
                look_at=f"kubectl -n {_NAMESPACE} logs deploy/{_OPERATOR}",
            )
            yield images[folder / "postgresql.tar"]
        finally:
            _delete(client, manifests)


def _reference(archive: Path) -> str:
    with tarfile.open(archive) as tar:
        member = tar.extractfile("manifest.json")
        assert member
        (image,) = json.load(member)
        return str(image["RepoTags"][0])


@contextlib.contextmanager
def _loaded(images: Mapping[Path, str], directory: Path) -> Iterator[None]:
    """Load the images into every node, and remove them in the end."""
    progress = Progress("cloudnative-pg", logs=directory)
    runtimes = Cluster().containerds().values()
    try:
        for containerd in runtimes:
            for archive in images:
                containerd.load(progress, archive)
        yield
    finally:
        for containerd in runtimes:
            containerd.ctr("images", "delete", *images.values(), check=False)


def _delete(client: kubernetes.client.ApiClient, manifests: Iterable[Manifest]) -> None:
    dynamic = kubernetes.dynamic.DynamicClient(client)
    for manifest in reversed(list(manifests)):
        resource = dynamic.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
        metadata = manifest["metadata"]
        with contextlib.suppress(NotFoundError):
            resource.delete(name=metadata["name"], namespace=metadata.get("namespace"))
    poll_until("the end of the operator", partial(_is_gone, client), seconds=60, every=1)


def _is_gone(client: kubernetes.client.ApiClient) -> bool:
    names = kubernetes.client.CoreV1Api(client).list_namespace().items
    return _NAMESPACE not in {item.metadata.name for item in names}
