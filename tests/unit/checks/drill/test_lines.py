"""Lines come from a pipe, from a file that grows, or from prepared texts."""

import os
from pathlib import Path

import pytest

from checks.drill.lines import MAX_LINE, Lines, PreparedLines, appended
from contracts.errors import UserError


def test_a_pipe_ends_with_its_last_line() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"hint\nkafka, st")
    lines = Lines(reader)
    assert lines.read(1) == "hint"
    assert lines.read(0) is None
    os.write(writer, b"opped")
    os.close(writer)
    assert lines.read(1) == "kafka, stopped"
    assert lines.ended
    assert lines.read(1) is None
    os.close(reader)


def test_lines_that_are_appended_to_a_file_are_read_and_older_ones_are_not(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    path.write_text("an answer of yesterday\n")
    with appended(path) as lines:
        assert lines.read(0) is None
        with path.open("a") as file:
            file.write("hint\nkafka, ")
        assert lines.read(0) == "hint"
        assert lines.read(0) is None
        with path.open("a") as file:
            file.write("stopped\n")
        assert lines.read(0) == "kafka, stopped"
        assert not lines.ended


def test_the_file_is_created(tmp_path: Path) -> None:
    with appended(tmp_path / "answers") as lines:
        assert (tmp_path / "answers").is_file()
        assert lines.read(0) is None


def test_a_named_pipe_outlives_its_writers(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    os.mkfifo(path)
    with appended(path) as lines:
        assert lines.read(0) is None
        for text in ("hint", "kafka, stopped"):
            path.write_text(f"{text}\n")
            assert lines.read(1) == text
        assert not lines.ended


def test_prepared_texts_end() -> None:
    lines = PreparedLines(["hint"])
    assert lines.read(1) == "hint"
    assert lines.ended
    assert lines.read(1) is None


def test_a_line_without_an_end_is_taken_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "answers"
    with appended(path) as lines:
        path.write_bytes(b"\xff" * (2 * MAX_LINE))
        assert [len(lines.read(0) or "") for _ in range(2)] == [MAX_LINE, MAX_LINE]
        assert lines.read(0) is None


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "answers"
    with pytest.raises(UserError, match=f"{path} cannot be opened: No such file"), appended(path):
        pass
