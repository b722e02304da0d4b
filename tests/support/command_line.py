"""The command line inside the test's process."""

from click.testing import CliRunner, Result

from cli.__main__ import wct as command_line


def wct(*arguments: str) -> Result:
    """Runs `./wct` with these arguments; the result has its exit code, `stdout` and `stderr`.

    Any exception but the end of the program is raised.
    """
    return CliRunner().invoke(command_line, arguments, prog_name="wct", catch_exceptions=False)
