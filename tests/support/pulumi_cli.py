"""The Pulumi CLI in tests: its environment."""

import os
from pathlib import Path


def pulumi_environment(directory: Path) -> dict[str, str]:
    """Return the environment of a CLI whose state and home are below a directory, and which knows no cluster."""
    state = directory / "state"
    state.mkdir()
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "KUBE"))},
        "PULUMI_BACKEND_URL": f"file://{state}",
        "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
        "PULUMI_HOME": str(directory / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "KUBECONFIG": str(directory / "no-cluster"),
    }
