"""Finds pods as Prometheus' discovery by the Kubernetes API does, which the Prometheus of the stack is built without.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#pod
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import kubernetes

_META: Final = "__meta_kubernetes_"


def with_files(config: dict[str, Any], client: kubernetes.client.ApiClient, directory: Path) -> dict[str, Any]:
    """Return a configuration whose jobs find the present pods in files of the directory.

    Args:
        config: of Prometheus; its jobs find pods in one namespace each.
        client: of the cluster.
        directory: for the files.
    """
    jobs = []
    for job in config["scrape_configs"]:
        (discovery,) = job.pop("kubernetes_sd_configs")
        assert discovery["role"] == "pod"
        (namespace,) = discovery["namespaces"]["names"]
        file = directory / f"pods-{namespace}.json"
        file.write_text(json.dumps(list(_targets(client, namespace))))
        jobs.append({**job, "file_sd_configs": [{"files": [str(file)]}]})
    return {**config, "scrape_configs": jobs}


def _targets(client: kubernetes.client.ApiClient, namespace: str) -> Iterator[dict[str, Any]]:
    """Yield a target for each port of each container."""
    listed = kubernetes.client.CoreV1Api(client).list_namespaced_pod(namespace)
    for pod in client.sanitize_for_serialization(listed)["items"]:
        for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
            is_init = container in pod["spec"].get("initContainers", ())
            for port in container.get("ports", ()):
                labels = {
                    "pod_container_name": container["name"],
                    "pod_container_init": str(is_init).lower(),
                    "pod_container_port_name": port.get("name", ""),
                    "pod_container_port_number": str(port["containerPort"]),
                    "pod_container_port_protocol": port["protocol"],
                    **_of_pod(pod),
                }
                address = f"{pod['status']['podIP']}:{port['containerPort']}"
                named = {f"{_META}{name}": value for name, value in labels.items()}
                yield {"targets": [address], "labels": named}


def _of_pod(pod: dict[str, Any]) -> dict[str, str]:
    metadata, status = pod["metadata"], pod["status"]
    labels = {re.sub(r"[^a-zA-Z0-9_]", "_", name): value for name, value in metadata["labels"].items()}
    ready = next((item["status"] for item in status.get("conditions", ()) if item["type"] == "Ready"), "unknown")
    return {
        "namespace": metadata["namespace"],
        "pod_name": metadata["name"],
        "pod_ip": status["podIP"],
        "pod_phase": status["phase"],
        "pod_ready": ready.lower(),
        "pod_node_name": pod["spec"]["nodeName"],
        **{f"pod_label_{name}": value for name, value in labels.items()},
        **{f"pod_labelpresent_{name}": "true" for name in labels},
    }
