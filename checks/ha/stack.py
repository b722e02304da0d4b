"""The stack of the check with its servers outside of the cluster: deployed on entry, removed on exit."""

import contextlib
import json
import secrets
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import kubernetes

from checks.chaos.cluster import LocalCluster
from checks.detect.foreign import ForeignSites
from checks.ha.topology import NAME, NAMESPACE, outside_secrets, sections, with_sections
from checks.harness.certificates import self_signed
from checks.harness.postgres_servers import PASSWORD, PostgresServers, postgres_servers
from checks.harness.s3 import ACCESS, S3Server
from contracts import endpoints, secret_keys, versions
from contracts.metadata import PROJECT, Manifest
from local.layout import GATEWAY as MACHINE
from stack.components.shared.object_storage import S3
from stack.deploy.render import record
from stack.errors import DeployError
from stack.kubernetes.apply import apply
from stack.kubernetes.client import connect
from stack.kubernetes.namespace import namespace_exists
from stack.polling import poll_until
from stack.settings import Settings, effective_config, parse

_BUCKET: Final = "telemetry"
_DEPLOYMENTS: Final = 3
"""Three nodes on a small machine start more slowly than a deployment waits; the next one continues."""
_REMOVAL_SECONDS: Final = 180.0


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The running stack."""

    settings: Settings
    cluster: LocalCluster
    storage: S3Server
    postgres: PostgresServers
    config: dict[str, Any]
    """Its configuration, secrets included."""
    page: str
    """URL of a page outside of the cluster, which no fault reaches."""
    on_progress: Callable[[str], None]
    """Takes a line of progress."""

    def deploy(self, kafka: str = versions.KAFKA) -> None:
        """Applies what the program declares, and waits until it is ready.

        Args:
            kafka: image of the brokers.
        """
        client = connect(self.settings.cluster)
        manifests = [_with_kafka(manifest, kafka) for manifest in record(NAME, self.config).manifests]
        for attempt in range(1, _DEPLOYMENTS + 1):
            try:
                apply(client, self.settings.cluster.namespace, manifests, self.on_progress)
            except DeployError as error:
                if attempt == _DEPLOYMENTS:
                    raise
                self.on_progress(f"deployment {attempt} of {_DEPLOYMENTS}: {error}")
            else:
                return


@contextlib.contextmanager
def running(on_progress: Callable[[str], None], *, small: bool = False, kafka: str = versions.KAFKA) -> Iterator[Stack]:
    """Runs the stack on the local cluster, and its database and its object storage on this machine.

    Args:
        on_progress: takes a line of progress.
        small: whether it has one Jaeger in place of the parts of Tempo, and no Loki: for two busy cores.
        kafka: image of the brokers at first.

    Raises:
        UserError: this machine lacks a program, or the stack does not become ready.
    """
    with (
        tempfile.TemporaryDirectory(prefix="ha-") as folder,
        postgres_servers(MACHINE, MACHINE) as postgres,
        ForeignSites() as sites,
    ):
        key, certificate = self_signed(MACHINE)
        storage = S3Server(Path(folder), key, certificate, MACHINE)
        storage.make_bucket(_BUCKET)
        storage.start()
        try:
            stack = _stack(postgres, storage, certificate.decode(), f"{sites.url}/page", on_progress, small=small)
            client = connect(stack.settings.cluster)
            _remove(client)  # an earlier run may have been killed
            try:
                stack.deploy(kafka)
                yield stack
            finally:
                _remove(client)
        finally:
            storage.kill()


def _with_kafka(manifest: Manifest, image: str) -> Manifest:
    """Returns a manifest that has this image, if it is the one of the brokers."""
    if (manifest["kind"], manifest["metadata"]["name"]) != ("StatefulSet", endpoints.KAFKA):
        return manifest
    changed: Manifest = json.loads(json.dumps(manifest).replace(f'"{versions.KAFKA}"', f'"{image}"'))
    return changed


def _stack(
    postgres: PostgresServers,
    storage: S3Server,
    certificate: str,
    page: str,
    on_progress: Callable[[str], None],
    *,
    small: bool,
) -> Stack:
    local = effective_config("local")
    bucket = S3(bucket=_BUCKET, endpoint=storage.endpoint, region="us-east-1", force_path_style=True, ca=certificate)
    changes = sections(
        postgres.external,
        bucket,
        tempo=not small and local.get(f"{PROJECT}:traces", {}).get("backend") != "jaeger",
        logs=not small and local.get(f"{PROJECT}:logs", {}).get("enabled", True),
    )
    config = with_sections(local, changes)
    settings = parse(config, f"the stack {NAME}")
    values = outside_secrets(PASSWORD, *ACCESS.values())
    values |= {key: secrets.token_urlsafe(32) for key in secret_keys.GENERATED}
    return Stack(
        settings=settings,
        cluster=LocalCluster(settings, outside=("postgres",)),
        storage=storage,
        postgres=postgres,
        config=config | {f"{PROJECT}:{key}": value for key, value in values.items()},
        page=page,
        on_progress=on_progress,
    )


def _remove(client: kubernetes.client.ApiClient) -> None:
    core = kubernetes.client.CoreV1Api(client)
    with contextlib.suppress(kubernetes.client.ApiException):
        core.delete_namespace(NAMESPACE)
    poll_until(
        f"namespace {NAMESPACE} to be gone",
        lambda: not namespace_exists(client, NAMESPACE),
        seconds=_REMOVAL_SECONDS,
        every=0.5,
        look_at=f"kubectl get namespace {NAMESPACE} -o yaml",
    )
