"""The real Pulumi CLI, where it is on PATH: what its users type works in a fresh clone, and after `make up`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pulumi import automation as auto

from contracts import secret_keys
from contracts.metadata import LOCAL_CONTEXT, PROJECT
from stack.deploy.engine import select
from stack.settings import ROOT, parse
from tests.support.api_server import ApiServer
from tests.support.programs import require_program
from tests.support.pulumi_cli import NOT_IN_A_CLONE, pulumi_environment
from tests.support.small_stack import IMAGE

_NAMESPACE = "real-pulumi"
_SET = "pulumi config set -s dev --path"
_COMPONENT = f"{PROJECT}:index:Namespace"
_TARGETS = (
    "pulumi:providers:kubernetes::cluster",
    f"{_COMPONENT}::namespace",
    f"{_COMPONENT}$kubernetes:core/v1:Namespace::{_NAMESPACE}",
)


class Clone:
    """A clone of the repository with an environment of its own, as after `pulumi install`."""

    def __init__(self, directory: Path) -> None:
        for program in ("pulumi", "pulumi-resource-kubernetes", "pulumi-language-python", "openssl"):
            require_program(program)
        self.path = directory / "clone"
        shutil.copytree(ROOT, self.path, ignore=NOT_IN_A_CLONE)
        (self.path / ".venv").symlink_to(sys.prefix)
        self.environment = pulumi_environment(directory)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run(["pulumi", "--non-interactive", *arguments])

    def preview(self, stack: str, *arguments: str) -> str:
        """What a preview prints."""
        process = self.run("preview", "-s", stack, *arguments)
        return process.stdout + process.stderr

    def shell(self, command: str) -> None:
        process = self._run(["sh", "-ec", command])
        assert process.returncode == 0, process.stderr

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_a_fresh_clone_previews_and_each_mistake_ends_in_a_message_alone(clone: Clone) -> None:
    assert clone.run("stack", "init", "dev").returncode == 0
    refused = clone.preview("dev")
    assert f"error: stack dev: {len(secret_keys.GENERATED)} secrets are missing: " in refused
    assert "Traceback" not in refused
    commands = sorted(set(re.findall(r"openssl .* \| pulumi config set --secret \w+ -s dev", refused)))
    assert len(commands) == len(secret_keys.GENERATED)
    # Pulumi stores the first number as a text, and the second as a number.
    for command in (*commands, f"{_SET} tracing.samplingRate 0.97", f"{_SET} kafka.cpu 2"):
        clone.shell(command)
    assert re.search(r"\+ \d\d to create", clone.preview("dev"))

    clone.shell(f"{_SET} tracing.samplingRate 2")
    clone.shell(f"{_SET} trases.backend tempo")
    printed = clone.preview("dev")
    assert "error: stack dev: the settings cannot be used:\n" in printed
    assert "  tracing.samplingRate: '2': input should be a valid number, at least 0, at most 1\n" in printed
    assert "  trases: unknown key; did you mean traces?" in printed
    assert "Traceback" not in printed
    assert "__main__.py" not in printed


def test_plain_pulumi_sees_no_change_after_the_deployment_of_the_local_stack(
    clone: Clone, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        f"{PROJECT}:environment": "test",
        f"{PROJECT}:cluster": {
            "context": LOCAL_CONTEXT,
            "kubeconfig": str(server.kubeconfig),
            "namespace": _NAMESPACE,
        },
        f"{PROJECT}:images": {"service": IMAGE},
    }
    monkeypatch.setenv("PULUMI_HOME", clone.environment["PULUMI_HOME"])
    monkeypatch.setattr("stack.deploy.engine.stack_file", lambda _: clone.path / "Pulumi.local.yaml")
    monkeypatch.setattr("stack.deploy.engine.effective_config", lambda _: config)
    engine = select(auto.PulumiCommand(), "local", parse(config, "test"), create=True)
    assert engine
    for key in secret_keys.GENERATED:
        engine.set_secret(key, f"value-of-{key}")
    targets = [f"urn:pulumi:local::{PROJECT}::{name}" for name in _TARGETS]
    engine.stack.up(target=targets, config_file=str(engine.file))
    # As the page on stacks explains it.
    state = engine.file.parent
    clone.environment |= {"PULUMI_BACKEND_URL": f"file://{state}", "PULUMI_CONFIG_PASSPHRASE": ""}
    arguments = [argument for target in targets for argument in ("--target", target)]
    printed = clone.preview("local", "--config-file", str(engine.file), "--expect-no-changes", "--diff", *arguments)
    assert "error" not in printed, printed
    assert yaml.safe_load(engine.file.read_text())["config"][f"{PROJECT}:environment"] == "test"
