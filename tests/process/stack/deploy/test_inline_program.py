"""The real Pulumi CLI runs a program of this process."""

import json
from collections.abc import Callable
from pathlib import Path

import pulumi
import pytest
from pulumi import automation as auto

from stack.deploy.inline_program import serve_program
from tests.support.programs import require_program
from tests.support.pulumi_cli import pulumi_environment


class Project:
    """A project with one stack, whose program is in this process."""

    def __init__(self, directory: Path) -> None:
        require_program("pulumi")
        self._command = auto.PulumiCommand()
        self._environment = pulumi_environment(directory)
        self._folder = directory / "project"
        self._folder.mkdir()
        (self._folder / "Pulumi.yaml").write_text("name: project\nruntime: python\n")
        self.run("stack", "init", "test")
        self.run("config", "set", "plain", "a")
        self.run("config", "set", "--secret", "hidden", "b")

    def run(self, *arguments: str) -> str:
        return str(self._command.run(list(arguments), str(self._folder), self._environment).stdout)

    def up(self, program: Callable[[], None]) -> str:
        with serve_program(program) as client:
            return self.run("up", "--yes", "--skip-preview", *client)


def test_it_gets_the_configuration_and_its_outputs_are_kept(tmp_path: Path) -> None:
    project = Project(tmp_path)

    def program() -> None:
        config = pulumi.Config()
        pulumi.export("stack", pulumi.get_stack())
        pulumi.export("plain", config.require("plain"))
        pulumi.export("hidden", config.require_secret("hidden"))

    for _ in range(2):
        assert "b" not in project.up(program).split()
    shown = json.loads(project.run("stack", "output", "--json"))
    assert shown == {"stack": "test", "plain": "a", "hidden": "[secret]"}
    assert json.loads(project.run("stack", "output", "--json", "--show-secrets"))["hidden"] == "b"


def test_its_error_is_a_message_of_the_cli(tmp_path: Path) -> None:
    def program() -> None:
        raise pulumi.RunError("the settings cannot be used")

    with pytest.raises(auto.CommandError) as refused:
        Project(tmp_path).up(program)
    assert "error: the settings cannot be used" in str(refused.value)
    assert "Traceback" not in str(refused.value)
