"""Kafka's programs start with an archive of their classes, and without one that they cannot use."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from checks.harness import kafka_programs
from tests.support.kafka_process import libraries

BROKER = "kafka.Kafka"


@pytest.fixture(scope="module")
def class_path() -> str:
    return libraries()


def output(class_path: str, options: Sequence[str]) -> str:
    """Returns all that a broker writes that is asked for its version."""
    command = ["java", *options, "-cp", class_path, BROKER, "--version"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_classes_are_read_from_the_archive(class_path: str) -> None:
    loaded = output(class_path, [*kafka_programs.options(class_path), "-Xlog:class+load"])
    (line,) = (line for line in loaded.splitlines() if f"{BROKER} source:" in line)
    assert "shared objects file" in line


def test_an_archive_that_cannot_be_used_changes_nothing(class_path: str, tmp_path: Path) -> None:
    expected = output(class_path, kafka_programs.QUICK_START)
    (tmp_path / "unusable.jsa").write_bytes(b"not an archive")
    for archive in ("unusable.jsa", "missing.jsa"):
        options = [
            f"-XX:SharedArchiveFile={tmp_path / archive}" if "Archive" in option else option
            for option in kafka_programs.options(class_path)
        ]
        assert output(class_path, options) == expected
