"""The repository uses the words of docs/glossary.md."""

import re
from pathlib import Path

import pytest

from tests.support.language import ROOT, Problem, files, long_lines, names, scan, words


def test_every_file_uses_the_words_of_the_glossary() -> None:
    problems = [problem for path in files() for problem in scan(path)]
    assert not problems, "\n" + "\n".join(map(str, problems))


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("a.py", "# The operator is told.\n", "told"),
        ("a.py", '"""Nobody reads this."""\n', "Nobody"),
        ("a.py", 'print(f"{1} stands here")\n', "stands"),
        ("a.py", "x = 1  # ends without a\n# word to the caller\n", "without a\n# word"),
        ("a.md", "Kafka is away.\n", "away"),
        ("a.md", "The message was put aside.\n", "put aside"),
        ("a.md", "Traces are held against the table.\n", "held against"),
        ("a.yaml", "# whoever reads it\n", "whoever"),
        ("a.go", "var told = 1 // a word of it\n", "a word of"),
    ],
)
def test_a_word_that_is_not_used_is_reported(name: str, text: str, word: str) -> None:
    (problem,) = words(name, text)
    assert problem.word == f'"{word}"'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "told = notify()\n"),
        ("a.md", "`--away=60`, and `*` stands for any text.\n"),
        ("a.go", "var told = 1 // notified\n"),
    ],
)
def test_code_and_plain_english_are_not_reported(name: str, text: str) -> None:
    assert not list(words(name, text))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("found = 1\n", "found"),
        ("for at in range(3): pass\n", "at"),
        ("def f(more: int) -> None: ...\n", "more"),
        ("self.before = 1\n", "before"),
        ("(x, which) = 1, 2\n", "which"),
        ("class Walk: ...\n", "Walk"),
        ("def test_nobody_reads() -> None: ...\n", "test_nobody_reads"),
        ("with open(p) as said: ...\n", "said"),
    ],
)
def test_a_name_that_is_not_used_is_reported(text: str, name: str) -> None:
    (problem,) = names("a.py", text)
    assert f"`{name}`" in problem.word


def test_names_of_other_programs_are_not_reported() -> None:
    assert not list(names("a.py", "retry(before=log)\nx = y.found\n"))


def test_a_long_line_of_a_document_is_reported() -> None:
    assert list(long_lines("a.md", "x" * 121)) == [Problem("a.md", 1, "a line of 121 characters", "at most 120")]


def test_a_message_names_file_line_word_and_replacement() -> None:
    (problem,) = words("a.md", "\nanew")
    assert str(problem) == 'a.md:2: "anew" → again (docs/glossary.md)'


def test_all_files_of_a_folder_are_scanned() -> None:
    scanned = {path.relative_to(ROOT).as_posix() for path in files()}
    assert {"Makefile", "README.md", ".ci/run", "collector/config.yaml.j2", "local/kubernetes/main.go"} <= scanned
    assert not any(Path(path).parts[0] in {".venv", ".git"} for path in scanned)


def test_the_code_has_each_name_that_the_glossary_gives() -> None:
    words_of_the_code = {
        word for path in files() if path.parent.name != "docs" for word in re.findall(r"[\w-]+", path.read_text())
    }
    rows = re.findall(r"^\|[^|]*\|[^|]*\|([^|]*)\|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert len(named) > 50
    assert not {name for name in named - words_of_the_code if not (ROOT / name).exists()}


@pytest.mark.parametrize(
    "document", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_the_files_that_a_document_names_exist(document: Path) -> None:
    named = re.findall(r"`([\w./-]+\.(?:py|yaml|j2|toml|md))`", document.read_text())
    assert not [name for name in named if not name.startswith(".local/") and not (ROOT / name).exists()]
