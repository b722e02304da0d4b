"""What a workload's manifest says about its pods."""

from typing import Any

from contracts.metadata import Manifest


def pod(manifest: Manifest) -> dict[str, Any]:
    """Return the specification of the pods."""
    return dict(manifest["spec"]["template"]["spec"])


def environment(container: dict[str, Any]) -> dict[str, str]:
    """Return the variables of a container: name → value, or the key of the stack's Secret."""
    return {
        item["name"]: item.get("value", "") or item.get("valueFrom", {}).get("secretKeyRef", {}).get("key", "")
        for item in container["env"]
    }
