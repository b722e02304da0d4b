"""What the Pulumi CLI is asked for when it made the stack; a script stands in for it, which notes its arguments."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from stack.contents import Contents, key
from stack.destroy import _key_of, _through_pulumi
from stack.engine import Cli
from stack.removal import Plan

URN = "urn:pulumi:dev::web-crawl-tracing::"
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
def cli(tmp_path: Path) -> Cli:
    script = tmp_path / "pulumi"
    answer = json.dumps({"deployment": {"resources": RESOURCES}})
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
        f"case \"$1 $2 $3\" in 'stack export --stack') echo '{answer}';; "
        "'stack select gone') echo \"error: no stack named 'gone' found\" >&2; exit 255;; "
        "'stack select broken') echo 'error: not logged in' >&2; exit 255;; esac\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return Cli(command=str(script), stack="dev", environment={"PATH": "/bin:/usr/bin"}, file=tmp_path / "c.yaml")


def asked(cli: Cli) -> list[str]:
    return (cli.file.parent / "asked").read_text().splitlines()


def what(cli: Cli, *, protected: bool = False, foreign: bool = False) -> Plan:
    somebodys = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}}
    found = Contents(own=[], claims=[], ambient=[], foreign=[somebodys] if foreign else [], unseen=[])
    made = [key(item["inputs"]) for item in RESOURCES[2:]]
    return Plan(stack="dev", namespace="tracing", made=made, contents=found, protected=protected)


def test_the_state_says_what_the_stack_made(cli: Cli) -> None:
    assert [_key_of(item) for item in cli.resources()[2:]] == [
        ("v1", "Namespace", "tracing"),
        ("v1", "Secret", "stack-secrets"),
        ("v1", "ConfigMap", "files"),
    ]


def test_pulumi_removes_all_that_it_has(cli: Cli) -> None:
    _through_pulumi(cli, RESOURCES, what(cli))
    assert asked(cli) == [
        f"destroy --yes --skip-preview --stack dev --config-file {cli.file} --non-interactive",
    ]


def test_a_namespace_with_something_else_in_it_is_no_target(cli: Cli) -> None:
    _through_pulumi(cli, RESOURCES, what(cli, foreign=True))
    (command,) = asked(cli)
    assert f"--target {URN}kubernetes:Secret::stack-secrets" in command
    assert f"--target {URN}kubernetes:ConfigMap::files" in command
    assert "Namespace" not in command
    assert "providers" not in command


def test_protection_is_taken_off_first_once_somebody_said_so(cli: Cli) -> None:
    _through_pulumi(cli, RESOURCES, what(cli, protected=True))
    assert [line.partition(" --")[0] for line in asked(cli)] == ["state unprotect", "destroy"]


def test_a_stack_without_state_is_no_error_and_a_cli_that_fails_is(cli: Cli) -> None:
    def other(stack: str) -> Cli:
        return Cli(command=cli.command, stack=stack, environment=cli.environment, file=cli.file)

    assert cli.select(create=False)
    assert not other("gone").select(create=False)
    with pytest.raises(Exception, match="not logged in"):
        other("broken").select(create=False)
