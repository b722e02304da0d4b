"""Rendered pods with a proxy."""

from typing import Any

from contracts.metadata import Manifest
from stack.components.encryption.proxy.config import ADDRESS_VARIABLE

Objects = dict[tuple[str, str], Manifest]
"""(kind, name) → object."""


def pod(objects: Objects, name: str) -> dict[str, Any]:
    """Returns the specification of a workload's pods."""
    (manifest,) = (
        manifest for (kind, key), manifest in objects.items() if key == name and kind in ("StatefulSet", "Deployment")
    )
    return dict(manifest["spec"]["template"]["spec"])


def proxied_ports(objects: Objects, name: str) -> set[int]:
    """Returns the ports on which the proxy of a workload listens."""
    text = objects["ConfigMap", f"{name}-proxy"]["data"]["haproxy.cfg"]
    prefix = f'bind "${{{ADDRESS_VARIABLE}}}:'
    return {int(line.strip().removeprefix(prefix).partition('"')[0]) for line in text.splitlines() if prefix in line}


def require_tls_of_probes(objects: Objects, name: str) -> list[str]:
    """Checks that the kubelet reaches each proxied port by TLS; returns the paths of these probes, at least one."""
    ports, paths = proxied_ports(objects, name), []
    template = pod(objects, name)
    for container in [*template["containers"], *template["initContainers"][1:]]:
        for kind in ("readinessProbe", "livenessProbe", "startupProbe"):
            probe = container.get(kind, {})
            assert probe.get("tcpSocket", {}).get("port") not in ports, "the proxy would answer for the program"
            if (action := probe.get("httpGet")) and action["port"] in ports:
                assert action["scheme"] == "HTTPS"
                paths.append(action["path"])
    assert paths
    return paths
