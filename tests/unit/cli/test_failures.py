"""What the machine refuses becomes a message, without a traceback."""

import sys

import click
import pytest
from click.testing import CliRunner

from cli.group import Command
from contracts.errors import UserError
from tests.support.command_line import wct


@pytest.mark.skipif(sys.platform != "linux", reason="these files exist on Linux")
@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("/dev/full", "error: No space left on device. Run the same command again"),
        ("/sys/manifests.yaml", "error: /sys/manifests.yaml cannot be used: "),
    ],
)
def test_a_file_that_cannot_be_written_is_named(file: str, message: str) -> None:
    result = wct("render", "local", f"--output={file}")
    assert result.exit_code == 1
    assert result.stderr.startswith(message)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (None, "error: interrupted; run the same command again to go on from here\n"),
        (UserError("the cluster is gone"), "error: the cluster is gone\n"),
        (
            RuntimeError("exit status 1\ndetails"),
            "error: interrupted, and the end of what was under way failed: exit status 1\n",
        ),
    ],
)
def test_an_interrupt_ends_in_one_line_also_if_the_end_of_the_work_fails(
    problem: Exception | None, message: str
) -> None:
    @click.command(cls=Command)
    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            if problem:
                raise problem

    result = CliRunner().invoke(interrupted)
    assert result.exit_code == 130
    assert result.stderr == message
