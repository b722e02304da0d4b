"""Every image that was brought into the running node starts, as the user that it names."""

import subprocess
import uuid

import pytest

from local.containerd import NAMESPACE
from local.images.resolve import Resolved, read_outcome
from local.paths import Home

_COMMANDS = {
    "collector": ["/otelcol-contrib", "--version"],
    "prometheus": ["/bin/prometheus", "--version"],
    "tempo": ["/tempo", "--version"],
    "jaeger": ["/cmd/jaeger/jaeger-linux", "--version"],
    "kafka": ["java", "-cp", "/opt/kafka/libs/*", "kafka.Kafka", "--version"],
    "postgres": ["/usr/lib/postgresql/15/bin/postgres", "--version"],
    "service": ["python3", "-c", "import service.gateway.bootstrap, service.task_manager.bootstrap; print('imported')"],
    "grafana": ["/usr/share/grafana/bin/grafana", "--version"],
    "alertmanager": ["/bin/alertmanager", "--version"],
    "loki": ["/usr/bin/loki", "--version"],
}
_SOCKET = Home.default().node("node1") / "containerd.sock"
_SAYS = {"service": "imported", "postgres": "PostgreSQL) 15"}
# The tag of an official image can name any patch release; the images of this project print their version.
_VERSIONED = ("collector", "prometheus", "jaeger", "kafka", "tempo", "grafana", "alertmanager", "loki")


@pytest.fixture(scope="module")
def outcome() -> dict[str, Resolved]:
    if not _SOCKET.exists():
        pytest.skip("the local cluster is down")
    images = read_outcome()
    if not images:
        pytest.skip("no images were brought into the node from this checkout")
    return images


@pytest.mark.parametrize("name", _COMMANDS)
def test_image_starts(name: str, outcome: dict[str, Resolved]) -> None:
    resolved = outcome.get(name)
    if not resolved or not resolved.available:
        pytest.skip(resolved.detail if resolved else "not wanted")
    container = f"starts-{name}-{uuid.uuid4().hex[:8]}"
    command = ["ctr", "--address", str(_SOCKET), "--namespace", NAMESPACE, "run", "--rm", "--read-only"]
    result = subprocess.run(
        [*command, resolved.reference, container, *_COMMANDS[name]], capture_output=True, text=True, timeout=120
    )
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    assert _SAYS.get(name, "") in output
    if name in _VERSIONED and resolved.source != "path":
        assert resolved.reference.rpartition(":")[2].removeprefix("v") in output
