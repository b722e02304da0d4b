"""Files of a pod: its configuration, its secrets, its scratch space and its data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pulumi
import pulumi_kubernetes as k8s

core = k8s.core.v1

_SCRATCH: Final = "/tmp"
"""Writable folder that ends with the pod; the root file system is read-only."""


@dataclass(frozen=True, kw_only=True)
class SecretFiles:
    """Keys of a Secret that become files in a folder. The files follow a change of the Secret."""

    secret: pulumi.Input[str]
    """Name of the Secret."""
    keys: Mapping[str, str]
    """Key → name of its file."""


@dataclass(frozen=True, kw_only=True)
class Storage:
    """The volumes and files that a pod's main container mounts."""

    config_maps: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    """Mount path → name of a ConfigMap."""
    configuration: pulumi.Input[Any] = None
    """The content of these ConfigMaps: the pods are replaced when it changes."""
    secrets: Mapping[str, SecretFiles] = field(default_factory=dict)
    """Mount path → files in it."""
    data: str | None = None
    """Mount path of the pod's own persistent volume."""

    def mounts(self) -> list[core.VolumeMountArgs]:
        """Return the mounts of the main container."""
        paths = [
            *((path, volume_name(path), True) for path in (*self.config_maps, *self.secrets)),
            (_SCRATCH, volume_name(_SCRATCH), False),
            *([(self.data, "data", False)] if self.data else []),
        ]
        return [
            core.VolumeMountArgs(name=volume, mount_path=path, read_only=read_only or None)
            for path, volume, read_only in paths
        ]

    def volumes(self) -> list[core.VolumeArgs]:
        """Return the pod's volumes, except `data`, which the StatefulSet controller adds."""
        return [
            *(
                core.VolumeArgs(name=volume_name(path), config_map=core.ConfigMapVolumeSourceArgs(name=config_map))
                for path, config_map in self.config_maps.items()
            ),
            *(secret_volume(path, files) for path, files in self.secrets.items()),
            core.VolumeArgs(name=volume_name(_SCRATCH), empty_dir=core.EmptyDirVolumeSourceArgs(size_limit="256Mi")),
        ]


def secret_volume(path: str, files: SecretFiles) -> core.VolumeArgs:
    """Return the volume of files of a Secret."""
    items = [core.KeyToPathArgs(key=key, path=name) for key, name in files.keys.items()]
    source = core.SecretVolumeSourceArgs(secret_name=files.secret, default_mode=0o440, items=items)
    return core.VolumeArgs(name=volume_name(path), secret=source)


def volume_name(path: str) -> str:
    """Return the name of the volume that is mounted at a path."""
    return path.strip("/").replace("/", "-").replace(".", "-").lower()
