"""The real Collector accepts the configuration that each stack renders."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from checks.harness.collector import binary
from collector.pipeline import QUEUE_DIRECTORY
from tests.support.program import rendered_with_secrets


@pytest.mark.parametrize("stack", ["local", "dev", "staging", "prod"])
def test_the_real_collector_accepts_it(stack: str, tmp_path: Path) -> None:
    manifests = {item["metadata"]["name"]: item for item in rendered_with_secrets(stack) if item["kind"] == "ConfigMap"}
    names = {"collector-config", "sampler-config"} & manifests.keys()
    assert ("sampler-config" in names) == (stack in ("staging", "prod"))
    for name in names:
        file = tmp_path / f"{name}.yaml"
        config = manifests[name]["data"]["config.yaml"].replace(QUEUE_DIRECTORY, str(tmp_path / "queue"))
        file.write_text(config)
        variables = dict.fromkeys(re.findall(r"\$\{env:(\w+)", config), "value")
        command = [str(binary()), "validate", f"--config={file}"]
        environment = {**variables, **os.environ}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
