"""Finds words that the glossary does not allow, in code, comments and documents.

`python -m tests.support.language [PATH…]` prints each place and the word to use instead; without a path it scans the
whole repository.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
LONGEST_LINE: Final = 120

WORDS: Final = {
    r"told": "notified, informed, or the name of the fact",
    r"said": "reported, written, or a sentence with a clear subject",
    r"(?:says|speaks?) of": "says that …",
    r"tells? of": "reports",
    r"whom to tell|who (?:is|was|are|were)": "the receiver, the caller, the owner",
    r"nobody|somebody|anybody|everybody": "the name of the role: a caller, an operator, another program",
    r"whoever": "the name of the role",
    r"whatever": "the noun: any value, each error",
    r"anew": "again",
    r"beside": "next to, compared with, in addition to; in a rollout: baseline",
    r"(?:put|puts|putting|set|sets|setting)(?: \w+)? aside": "dead-lettered (a message), quarantined (a file)",
    r"away": "unavailable, stopped, removed, unreachable",
    r"what is not|what there is|there is what": "the noun: the missing objects, the settings",
    r"(?:holds?|holding|held)(?: [\w']+){0,4} against": "compares with",
    r"stands?(?! in\b| for\b| still\b)|stood": "is, is written, occurs",
    r"in the way of": "prevents",
    r"a word of|without a word": "what the program writes: a log line, a message",
    r"maskers?|masking": "redactor, redaction",
}
"""Pattern of a word that is not used, and what to write instead."""

NAMES: Final = {
    "found": "a noun: problems, matches, spans",
    "at": "timestamp, position, offset",
    "before": "previous, baseline, stable",
    "which": "a noun: sections, names",
    "more": "extra_labels, other_panels",
    "said": "a noun: message, text",
    "told": "notified",
    "given": "a noun: options, values",
    "seen": "a noun: visited, received",
    "wanted": "expected, requested",
    "beside": "baseline",
    "lasting": "for_",
    "say": "on_progress",
    "tell": "on_progress",
    "chance": "rng",
    "Board": "Dashboard",
    "Record": "RecordingRule",
    "Alert": "AlertRule",
    "Group": "RuleGroup",
    "Burn": "BurnRateWindow",
    "Walk": "Runner",
    "Passage": "StepResult",
    "Look": "Analysis",
    "Masker": "Redactor",
    "Sender": "OtlpExporter",
    "Hands": "the noun",
    "World": "the noun",
}
"""Names that no variable, parameter, field, function or class has, and what to call it instead."""

PARTS: Final = frozenset(
    {"told", "said", "nobody", "somebody", "anybody", "everybody", "whoever", "whatever", "anew", "beside", "away"}
)
"""Words that are no part of a name either: `test_nobody_is_told`."""

# A phrase may go over the end of a line, in a comment too.
_GAP: Final = r"\s+(?:(?:#|//) )?"
_EACH_WORD: Final = {word: re.compile(word.replace(" ", _GAP), re.IGNORECASE) for word in WORDS}
_ANY_WORD: Final = re.compile(
    rf"(?<![\w-])(?:{'|'.join(pattern.pattern for pattern in _EACH_WORD.values())})(?![\w-])", re.IGNORECASE
)
# Files without such a text are not parsed, which would take most of the time.
_ANY_NAME: Final = re.compile(
    rf"\b(?:{'|'.join(NAMES)})(?=\s*(?:[,:)]|[-+|]?=(?!=)|\s+in\s))"
    rf"|\b(?:for|as|def|class) +(?:{'|'.join(NAMES)})\b"
    rf"|(?<=_)(?:{'|'.join(PARTS)})|(?:{'|'.join(PARTS)})(?=_)"
)
_FUTURE: Final = "from __future__ import " + "annotations"
_SUFFIXES: Final = frozenset({".py", ".md", ".j2", ".yaml", ".go", ".toml", ".in"})
_FILES: Final = frozenset({"Makefile", "Dockerfile", "run", "wct"})
_WITHOUT: Final = ("docs/glossary.md", "tests/support/language.py", "tests/unit/test_language.py")
"""Files that name the words which are not used."""
_STORED: Final = {"stack/release/journal.py": "beside", "tests/unit/stack/release/test_plan.py": "beside"}
"""A word that these files read in running clusters, where an earlier release has stored it."""

KEPT: Final = {
    # The name of a receiver, which is a label value of Alertmanager's metrics.
    ("stack/components/alertmanager/config.py", '"nobody"'),
    # A comment in the command of an init container: a change would restart Postgres.
    ("stack/components/postgres/component.py", '"nobody"'),
    # A method of file objects.
    ("local/archive.py", "the name `tell`"),
    # The name of a user of every Linux system.
    ("local/images/debian.py", '"nobody"'),
    # Comments of Go programs: a change compiles Kubernetes and Jaeger again, on every machine.
    ("local/images/jaeger/commit.go", '"away"'),
    ("local/images/jaeger/commit.go", '"whoever"'),
    ("local/kubernetes/coredns.go", '"whatever"'),
}
"""File and word: texts that running clusters have, and that would restart pods or break queries if they changed."""


@dataclass(frozen=True, order=True)
class Problem:
    """A place in a file, the word that is written there, and what to write instead."""

    path: str
    line: int
    word: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word} → {self.instead} (docs/glossary.md)"


def files(paths: Sequence[Path] = (ROOT,)) -> Iterator[Path]:
    """The text files below `paths` that belong to the repository; hidden folders, apart from `.ci`, do not."""
    for path in paths:
        if path.is_dir():
            inside = sorted(path.iterdir())
            hidden = (".venv", "__pycache__", "node_modules")
            yield from files(
                [each for each in inside if each.name not in hidden and (each.name[0] != "." or each.name == ".ci")]
            )
        elif path.suffix in _SUFFIXES or path.name in _FILES:
            yield path


def scan(path: Path) -> list[Problem]:
    """The problems of one file, sorted by line."""
    text = path.read_text()
    name = path.resolve().relative_to(ROOT).as_posix()
    problems: list[Problem] = []
    if name not in _WITHOUT:
        problems += words(name, text)
        if path.suffix == ".py":
            problems += names(name, text)
    if path.suffix == ".py" and _FUTURE in text:
        problems.append(Problem(name, text[: text.index(_FUTURE)].count("\n") + 1, _FUTURE, "quote forward references"))
    if path.suffix == ".md" and path.parent.name != "runbooks":
        problems += long_lines(name, text)
    return sorted(problem for problem in problems if (problem.path, problem.word) not in KEPT)


def words(name: str, text: str) -> Iterator[Problem]:
    """Words that are not used, in the prose of a file: in Python and Go, only comments and strings count."""
    matches = list(_ANY_WORD.finditer(text))
    if not matches:
        return
    prose = _prose(name, text)
    for match in matches:
        if match[0] == _STORED.get(name):
            continue
        if prose is None or any(start <= match.start() < end for start, end in prose):
            instead = next(WORDS[word] for word, pattern in _EACH_WORD.items() if pattern.fullmatch(match[0]))
            yield Problem(name, text.count("\n", 0, match.start()) + 1, f'"{match[0]}"', instead)


def names(name: str, text: str) -> Iterator[Problem]:
    """Variables, parameters, fields, functions and classes whose name is not used."""
    if not _ANY_NAME.search(text):
        return
    for node in ast.walk(ast.parse(text)):
        bound = _bound_name(node)
        instead = NAMES.get(bound) or ("another name" if PARTS.intersection(bound.split("_")) else "")
        if instead:
            yield Problem(name, getattr(node, "lineno", 0), f"the name `{bound}`", instead)


def long_lines(name: str, text: str) -> Iterator[Problem]:
    """Lines of a document that are longer than a screen is wide."""
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > LONGEST_LINE:
            yield Problem(name, number, f"a line of {len(line)} characters", f"at most {LONGEST_LINE}")


def _prose(name: str, text: str) -> list[tuple[int, int]] | None:
    """Where comments and strings begin and end; None: the whole text is prose."""
    if name.endswith(".go"):
        return [match.span() for match in re.finditer(r"//[^\n]*|/\*.*?\*/", text, re.DOTALL)]
    if not name.endswith(".py"):
        return None
    lines = [0]
    for line in text.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    return [
        (lines[token.start[0] - 1] + token.start[1], lines[token.end[0] - 1] + token.end[1])
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type in kinds
    ]


def _bound_name(node: ast.AST) -> str:
    """The name that this node gives to something, or ""."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            return name
        case ast.arg(arg=name):
            return name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
            return name
        case _:
            return ""


def main(arguments: Sequence[str]) -> int:
    """Print the problems below the given paths, and their number."""
    problems = [
        problem for path in files([Path(each) for each in arguments] or [ROOT]) for problem in scan(path.resolve())
    ]
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
