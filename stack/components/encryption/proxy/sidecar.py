"""The container that runs HAProxy in the pod of another program."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pulumi_kubernetes as k8s

from contracts import versions
from stack.components.shared.pod import container_security, resources
from stack.components.shared.settings import Size
from stack.components.shared.storage import volume_name

core = k8s.core.v1

SERVE: Final = Path(__file__).with_name("serve.sh")
"""Program that runs HAProxy; it belongs into the folder of the configuration."""
CONFIG_FILE: Final = "haproxy.cfg"
_SIZE: Final = Size(cpu="20m", memory="96Mi")


def files(configuration: str) -> Mapping[str, str]:
    """Return what the folder of the configuration has."""
    return {CONFIG_FILE: configuration, SERVE.name: SERVE.read_text()}


def sidecar(
    name: str,
    folder: str,
    watched: Sequence[str],
    mounts: Sequence[str],
    env: Sequence[core.EnvVarArgs] = (),
    startup_probe: Any = None,
) -> core.ContainerArgs:
    """Return an init container that starts before the other containers, and runs as long as they do.

    Args:
        name: of the container.
        folder: with the files.
        watched: files that HAProxy loads again when one of them has changed.
        mounts: the folders of all files; a volume has the name of its folder.
        env: variables that the configuration refers to.
        startup_probe: what the other containers wait for.
    """
    return core.ContainerArgs(
        name=name,
        image=versions.PROXY,
        image_pull_policy="IfNotPresent",
        restart_policy="Always",
        command=["sh", f"{folder}/{SERVE.name}", f"{folder}/{CONFIG_FILE}", *watched],
        env=list(env),
        resources=resources(_SIZE),
        security_context=container_security(),
        volume_mounts=[
            core.VolumeMountArgs(name=volume_name(path), mount_path=path, read_only=True) for path in mounts
        ],
        startup_probe=startup_probe,
        termination_message_policy="FallbackToLogsOnError",
    )
