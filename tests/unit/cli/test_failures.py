"""What the machine refuses becomes a message, without a traceback."""

import sys

import pytest

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
