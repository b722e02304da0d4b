"""The help texts are whole, and name the stacks that a command takes."""

from pathlib import Path

import pytest

from cli.__main__ import COMMANDS
from cli.options import stack_names
from tests.support.command_line import wct


@pytest.mark.parametrize("group", [(), ("check",), ("cluster",), ("images",)])
def test_no_summary_of_a_command_is_cut(group: tuple[str, ...]) -> None:
    assert "..." not in wct(*group, "--help").output.partition("Commands:")[2]


def test_every_command_is_listed() -> None:
    output = wct("--help").output
    assert [name for name in COMMANDS if f"\n  {name} " not in output] == []


@pytest.mark.parametrize(
    ("command", "default"),
    [(("config",), " (default: local)"), (("destroy",), ""), (("capacity", "plan"), " (default: prod)")],
)
def test_the_help_of_a_command_names_the_stacks(command: tuple[str, ...], default: str) -> None:
    assert f"STACK is one of {', '.join(stack_names())}{default}.\n" in wct(*command, "--help").output


@pytest.mark.parametrize(("option", "kind"), [("--load=1k", "number"), ("--spans=1.5", "whole number")])
def test_a_text_that_is_no_number_is_refused_in_plain_words(option: str, kind: str) -> None:
    result = wct("capacity", "plan", option)
    assert result.exit_code == 2
    assert result.output.endswith(f"is not a valid {kind}.\n")


def test_a_command_without_its_group_is_answered_with_the_whole_name() -> None:
    result = wct("chaos", "--spans=100")
    assert result.exit_code == 2
    assert result.output.endswith("No such command 'chaos'. Did you mean `wct check chaos`?\n")


@pytest.mark.parametrize("arguments", [("cluster", "node", "list"), ("cluster", "kubeconfig")])
def test_what_needs_the_cluster_says_that_it_is_down(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CRAWL_TRACING_HOME", str(tmp_path))
    result = wct(*arguments)
    assert result.exit_code == 1
    assert "the local cluster is down" in result.output


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("deploy", "--forget=unknown"), "grafanaToken"),
        (("check", "capacity", "--only=unknown"), "'on disk, redacted'"),
        (("check", "rollouts", "--only=unknown"), "good"),
        (("check", "security", "--only=unknown"), "tokens"),
    ],
)
def test_the_answer_to_an_unknown_name_lists_the_names(arguments: tuple[str, ...], name: str) -> None:
    result = wct(*arguments)
    assert result.exit_code in {1, 2}
    assert name in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "chaos", "--spans=0"),
        ("check", "chaos", "--kills=-1"),
        ("check", "coverage", "--operations=0"),
        ("check", "detect", "--quiet=0"),
        ("check", "chaos", "--unavailable=nan"),
        ("check", "drill", "--seconds=nan"),
        ("check", "drill", "--seconds=inf"),
        ("dashboards-check", "local", "--minutes=-1"),
        ("cluster", "logs", "kubelet", "--lines=0"),
    ],
)
def test_a_number_that_makes_a_command_pointless_is_refused(arguments: tuple[str, ...]) -> None:
    result = wct(*arguments)
    assert result.exit_code == 2
    assert "is not in the range" in result.output
