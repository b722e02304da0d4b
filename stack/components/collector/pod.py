"""Pods of Collectors: each has a queue on its own volume, and a guard of the queue's files."""

from collections.abc import Mapping, Sequence
from typing import Final

import pulumi
import pulumi_kubernetes as k8s

from collector import pipeline
from collector.queue_guard import LIVENESS
from contracts import endpoints, versions
from stack.components.collector.settings import Queueing
from stack.components.shared.availability import Shutdown
from stack.components.shared.object_meta import config_map
from stack.components.shared.pod import Container, Pod, container_security
from stack.components.shared.probes import Probes, http_probe
from stack.components.shared.storage import SecretFiles, Storage, volume_name

core = k8s.core.v1

_UID: Final = 10001
_CONFIG: Final = "/etc/otelcol"
_PROGRAM: Final = "/opt/queue-guard"
_LONGEST_CHECK_SECONDS: Final = 300
"""Time for the first check of the queue's files; a large queue takes seconds."""


class CollectorConfig:
    """The configuration of some Collectors, and the ConfigMap that holds it."""

    def __init__(
        self, name: str, text: pulumi.Input[str], namespace: pulumi.Input[str], opts: pulumi.ResourceOptions
    ) -> None:
        self.files = {"config.yaml": text, **{module.name: module.read_text() for module in pipeline.GUARD}}
        self.name = config_map(name, "collector", namespace, self.files, opts).metadata.name


def queueing_pod(
    name: str,
    settings: Queueing,
    config: CollectorConfig,
    *,
    image: str = versions.COLLECTOR,
    ports: Mapping[str, int],
    secrets: Mapping[str, SecretFiles] = {},
    env: Sequence[core.EnvVarArgs] = (),
    init: tuple[core.ContainerArgs, ...] = (),
    address: str | None = None,
) -> Pod:
    """Return the pods of Collectors that have a queue on disk.

    Args:
        name: of the workload.
        settings: its size.
        config: its configuration.
        image: of the Collector.
        ports: besides those for telemetry and health, which all Collectors have.
        secrets: mount path → files of a Secret.
        env: its variables, among them those of Go's garbage collector.
        init: further init containers.
        address: on which the guard listens; any if None.
    """
    telemetry = {"telemetry": endpoints.COLLECTOR_TELEMETRY_PORT, "health": endpoints.COLLECTOR_HEALTH_PORT}
    return Pod(
        name=name,
        component="collector",
        user=_UID,
        container=Container(
            image=image,
            size=settings,
            ports={**ports, **telemetry},
            args=[f"--config={_CONFIG}/config.yaml"],
            env=env,
        ),
        storage=Storage(
            config_maps={_CONFIG: config.name},
            configuration=config.files,
            secrets=secrets,
            data=pipeline.QUEUE_DIRECTORY,
        ),
        probes=Probes(
            readiness=http_probe(endpoints.COLLECTOR_HEALTH, endpoints.COLLECTOR_HEALTH_PORT, period=2),
            # The guard asks the Collector. A restart of a Collector that the guard has paused would help nothing.
            liveness=http_probe(LIVENESS, endpoints.QUEUE_GUARD_PORT),
        ),
        share_processes=True,  # so that the guard can pause the Collector
        shutdown=Shutdown(grace_seconds=60),
        init=(_queue_guard(address), *init),
    )


def _queue_guard(address: str | None) -> core.ContainerArgs:
    """Return the sidecar that checks the queue's files before every start of the Collector, and keeps room in them.

    It is a sidecar, since an init container that ends does not run again when the Collector alone is restarted. Its
    image is not the services', since each of their releases would then restart the Collectors.
    """
    return core.ContainerArgs(
        name="queue-guard",
        image=versions.PYTHON,
        image_pull_policy="IfNotPresent",
        restart_policy="Always",
        working_dir=_PROGRAM,
        command=["python3", "-m", f"collector.{pipeline.GUARD[0].stem}", pipeline.QUEUE_DIRECTORY],
        args=[
            f"--port={endpoints.QUEUE_GUARD_PORT}",
            *([f"--address={address}"] if address else []),
            f"--telemetry={endpoints.url('127.0.0.1', endpoints.COLLECTOR_TELEMETRY_PORT)}/metrics",
            f"--health={endpoints.url('127.0.0.1', endpoints.COLLECTOR_HEALTH_PORT)}{endpoints.COLLECTOR_HEALTH}",
        ],
        # A PodMonitor finds only the ports that are declared.
        ports=[core.ContainerPortArgs(name="queue-guard", container_port=endpoints.QUEUE_GUARD_PORT)],
        resources=core.ResourceRequirementsArgs(requests={"cpu": "10m", "memory": "48Mi"}, limits={"memory": "48Mi"}),
        security_context=container_security(),
        volume_mounts=[
            core.VolumeMountArgs(name="data", mount_path=pipeline.QUEUE_DIRECTORY),
            *(
                core.VolumeMountArgs(
                    name=volume_name(_CONFIG),
                    mount_path=f"{_PROGRAM}/collector/{module.name}",
                    sub_path=module.name,
                    read_only=True,
                )
                for module in pipeline.GUARD
            ),
        ],
        # The Collector starts after the first check.
        startup_probe=http_probe(
            endpoints.QUEUE_GUARD_HEALTH, endpoints.QUEUE_GUARD_PORT, period=1, failures=_LONGEST_CHECK_SECONDS
        ),
        termination_message_policy="FallbackToLogsOnError",
    )
