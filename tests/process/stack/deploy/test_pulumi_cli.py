"""The commands that the engine gives to the Pulumi CLI; a script takes its place and records its arguments."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation as auto

from stack.deploy.destroy import destroy_resources, resource_key
from stack.deploy.engine import Engine, select, up
from stack.deploy.removal import RemovalPlan
from stack.errors import DeployError
from stack.kubernetes.keys import object_key
from stack.kubernetes.ownership import Ownership
from stack.settings import load

URN = "urn:pulumi:dev::web-crawl-tracing::"
HISTORY = json.dumps(
    [
        {
            "kind": "destroy",
            "startTime": "2026-01-01T00:00:00.000Z",
            "message": "",
            "environment": {},
            "config": {},
            "result": "succeeded",
        }
    ]
)
RESOURCES: list[dict[str, Any]] = [
    {"urn": f"{URN}pulumi:pulumi:Stack::x"},
    {"urn": f"{URN}pulumi:providers:kubernetes::cluster", "inputs": {"context": "c"}},
    *(
        {
            "urn": f"{URN}kubernetes:{kind}::{name}",
            "inputs": {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}},
        }
        for kind, name in (("Namespace", "tracing"), ("Secret", "stack-secrets"), ("ConfigMap", "files"))
    ),
]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """File with the arguments of each command, a line each."""
    script, asked = tmp_path / "pulumi", tmp_path / "asked"
    answer = json.dumps({"deployment": {"resources": RESOURCES}})
    script.write_text(
        f'#!/bin/sh\ncase "$1" in --non-interactive) shift;; esac\necho "$@" >> {asked}\n'
        f"case \"$1 $2 $3 $4\" in 'version   ') echo v3.260.0;; "
        f"'stack export --stack dev') echo '{answer}';; 'stack history '*) echo '{HISTORY}';; "
        "'stack select --stack staging') echo \"error: no stack named 'staging' found\" >&2; exit 255;; "
        "'stack select --stack prod') echo 'error: not logged in' >&2; exit 255;; "
        f"'config set '*) cat > {asked}-value;; "
        "'destroy '*) cat >/dev/null; [ -z \"$LOCKED\" ] || "
        "{ echo 'error: the stack is currently locked by 1 lock(s)' >&2; exit 255; };; esac\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    return asked


def engine(stack: str = "dev") -> Engine | None:
    return select(auto.PulumiCommand(), stack, load("dev"), create=False)


@pytest.fixture
def pulumi(asked: Path) -> Engine:
    made = engine()
    assert made
    asked.unlink()
    return made


def commands(asked: Path) -> list[str]:
    """The commands that change something."""
    return [line for line in asked.read_text().splitlines() if not line.startswith("stack history")]


def removal_plan(*, protected: bool = False, foreign: bool = False) -> RemovalPlan:
    foreign_secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}}
    ownership = Ownership(
        own=[], claims=[], issued=[], ambient=[], foreign=[foreign_secret] if foreign else [], unlisted=[]
    )
    made = [object_key(item["inputs"]) for item in RESOURCES[2:]]
    return RemovalPlan(stack="dev", namespace="tracing", made=made, ownership=ownership, protected=protected)


def test_the_state_has_the_keys_of_the_objects_that_the_stack_made(pulumi: Engine) -> None:
    assert [resource_key(item) for item in pulumi.resources()[2:]] == [
        ("v1", "Namespace", "tracing"),
        ("v1", "Secret", "stack-secrets"),
        ("v1", "ConfigMap", "files"),
    ]


def test_pulumi_removes_all_resources(pulumi: Engine, asked: Path) -> None:
    destroy_resources(pulumi, RESOURCES, removal_plan())
    (command,) = commands(asked)
    assert command.startswith("destroy --skip-preview --yes")
    assert f"--config-file {pulumi.file}" in command
    assert "--target" not in command


def test_a_namespace_with_objects_of_others_is_no_target(pulumi: Engine, asked: Path) -> None:
    destroy_resources(pulumi, RESOURCES, removal_plan(foreign=True))
    (command,) = commands(asked)
    assert f"--target {URN}kubernetes:Secret::stack-secrets" in command
    assert f"--target {URN}kubernetes:ConfigMap::files" in command
    assert "Namespace" not in command
    assert "providers" not in command


def test_resources_are_unprotected_first_with_delete_data(pulumi: Engine, asked: Path) -> None:
    destroy_resources(pulumi, RESOURCES, removal_plan(protected=True))
    assert [line.partition(" --")[0] for line in commands(asked)] == ["state unprotect", "destroy"]


def test_a_stack_without_state_is_no_error_and_a_cli_that_fails_is(asked: Path) -> None:
    assert engine()
    assert engine("staging") is None
    with pytest.raises(DeployError, match="not logged in"):
        engine("prod")


def test_a_concurrent_update_is_named(pulumi: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKED", "1")
    with pytest.raises(DeployError, match=r"another update of this stack runs.*pulumi cancel"):
        destroy_resources(pulumi, RESOURCES, removal_plan())


def test_a_secret_is_on_no_command_line(pulumi: Engine, asked: Path) -> None:
    pulumi.set_secret("otlpToken", "hunter2")
    (command,) = commands(asked)
    assert command.startswith("config set --secret web-crawl-tracing:otlpToken --stack dev --config-file")
    assert "hunter2" not in command
    assert asked.with_name("asked-value").read_text() == "hunter2"


def test_a_secret_that_is_forgotten_leaves_the_configuration(pulumi: Engine, asked: Path) -> None:
    pulumi.remove_secret("otlpTokenOther")
    (command,) = commands(asked)
    assert command == f"config rm web-crawl-tracing:otlpTokenOther --stack dev --config-file {pulumi.file}"


def _secrets_of(asked: Path) -> list[str]:
    """The changes of secrets in the configuration, in short."""
    lines = [line.partition(" --stack")[0] for line in commands(asked) if line.startswith("config ")]
    return [line.replace("config ", "").replace("--secret ", "").replace("web-crawl-tracing:", "") for line in lines]


@pytest.mark.parametrize(
    ("context", "take_over", "expected"),
    [
        ("local", False, ["set hashKey"]),
        ("local", True, ["set otlpToken", "set hashKey", "rm otlpTokenOther"]),
        ("theirs", True, ["set hashKey"]),
    ],
)
def test_the_local_stack_takes_over_what_was_applied_since_and_others_keep_what_their_users_set(
    context: str,
    take_over: bool,
    expected: list[str],
    asked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://a-team")
    file = tmp_path / "Pulumi.dev.yaml"
    kept = {"web-crawl-tracing:otlpToken": {"secure": "x"}, "web-crawl-tracing:otlpTokenOther": {"secure": "y"}}
    file.write_text(json.dumps({"config": kept}))
    monkeypatch.setattr("stack.deploy.engine.stack_file", lambda _: file)
    monkeypatch.setattr("stack.deploy.engine._write_local_state", lambda *_: file)
    settings = load("dev")
    settings = settings.model_copy(update={"cluster": settings.cluster.model_copy(update={"context": context})})
    values = {"otlpToken": "new", "hashKey": "h"}
    up(auto.PulumiCommand(), "dev", settings, values, take_over=take_over, refresh=take_over)
    assert _secrets_of(asked) == expected
    (command,) = [line for line in commands(asked) if line.startswith("up ")]
    assert ("--refresh" in command) is take_over
    ignored = f"PULUMI_BACKEND_URL is not used: the state of stack dev is in {tmp_path}"
    assert (ignored in capsys.readouterr().out) is (context == "local")
