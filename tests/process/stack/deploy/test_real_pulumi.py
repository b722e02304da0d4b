"""The real Pulumi CLI, where it is on PATH: what its users type works in a fresh clone, and after `make up`."""

import re
from pathlib import Path

import pytest
import yaml
from pulumi import automation as auto

from contracts import secret_keys
from contracts.metadata import LOCAL_CONTEXT, PROJECT
from stack.deploy.engine import run_checked_program, select
from stack.deploy.inline_program import serve_program
from stack.settings import parse
from tests.support.api_server import ApiServer
from tests.support.clone import Clone
from tests.support.programs import require_program
from tests.support.pulumi_cli import pulumi_environment
from tests.support.small_stack import IMAGE

_NAMESPACE = "real-pulumi"
_SET = "pulumi config set -s dev --path"
_COMPONENT = f"{PROJECT}:index:Namespace"
_TARGETS = (
    "pulumi:providers:kubernetes::cluster",
    f"{_COMPONENT}::namespace",
    f"{_COMPONENT}$kubernetes:core/v1:Namespace::{_NAMESPACE}",
)


def _pulumi(clone: Clone, *arguments: str, check: bool = True) -> str:
    return clone.run("pulumi", "--non-interactive", *arguments, check=check)


def _preview(clone: Clone, stack: str, *arguments: str) -> str:
    return _pulumi(clone, "preview", "-s", stack, *arguments, check=False)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone of the repository, as after `pulumi install`."""
    for program in ("pulumi", "pulumi-resource-kubernetes", "pulumi-language-python", "openssl"):
        require_program(program)
    return Clone(tmp_path / "clone", pulumi_environment(tmp_path))


def test_a_fresh_clone_previews_and_each_mistake_ends_in_a_message_alone(clone: Clone) -> None:
    _pulumi(clone, "stack", "init", "dev")
    refused = _preview(clone, "dev")
    assert f"error: stack dev: {len(secret_keys.GENERATED)} secrets are missing: " in refused
    assert "Traceback" not in refused
    commands = sorted(set(re.findall(r"openssl .* \| pulumi config set --secret \w+ -s dev", refused)))
    assert len(commands) == len(secret_keys.GENERATED)
    # Pulumi stores the first number as a text, and the second as a number.
    for command in (*commands, f"{_SET} tracing.samplingRate 0.97", f"{_SET} kafka.cpu 2"):
        clone.run("sh", "-ec", command)
    assert re.search(r"\+ \d\d to create", _preview(clone, "dev"))

    clone.run("sh", "-ec", f"{_SET} tracing.samplingRate 2")
    clone.run("sh", "-ec", f"{_SET} trases.backend tempo")
    printed = _preview(clone, "dev")
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
    arguments = [argument for target in targets for argument in ("--target", target)]
    workspace = engine.stack.workspace
    # As `Engine.up`, but of some resources.
    with serve_program(run_checked_program) as client:
        up = ["up", "--yes", "--skip-preview", "--stack", "local", "--config-file", str(engine.file)]
        workspace.pulumi_command.run([*up, *client, *arguments], workspace.work_dir, workspace.env_vars)
    # As the page on stacks explains it.
    state = engine.file.parent
    clone.environment |= {"PULUMI_BACKEND_URL": f"file://{state}", "PULUMI_CONFIG_PASSPHRASE": ""}
    printed = _preview(clone, "local", "--config-file", str(engine.file), "--expect-no-changes", "--diff", *arguments)
    assert "error" not in printed, printed
    assert yaml.safe_load(engine.file.read_text())["config"][f"{PROJECT}:environment"] == "test"
