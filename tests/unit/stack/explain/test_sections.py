"""Sections arrive as soon as they are ready; a source that hangs or fails has one line."""

import threading
from collections.abc import Sequence

from stack.explain.sections import Question, Section, answers


def test_a_question_without_an_answer_holds_no_other() -> None:
    released = threading.Event()

    def hang() -> Sequence[str]:
        released.wait(10)
        return ["too late"]

    questions = {"slow": Question(hang, 0.3), "quick": Question(lambda: ["here"], 5)}
    sections = answers(questions, str)
    assert next(sections) == Section(title="quick", lines=["here"])
    assert not released.is_set()
    assert list(sections) == [Section(title="slow", lines=["no answer within 0.3 s"])]
    released.set()


def test_an_answer_after_its_time_is_not_printed_again() -> None:
    released = threading.Event()
    late = threading.Event()

    def hang() -> Sequence[str]:
        released.wait(10)
        late.set()
        return ["too late"]

    def last() -> Sequence[str]:
        late.wait(10)
        return ["last"]

    sections = answers({"slow": Question(hang, 0.1), "last": Question(last, 10)}, str)
    assert next(sections) == Section(title="slow", lines=["no answer within 0.1 s"])
    released.set()
    assert list(sections) == [Section(title="last", lines=["last"])]


def test_a_failure_is_redacted() -> None:
    def fail() -> Sequence[str]:
        raise ValueError("hunter2")

    (section,) = answers({"broken": Question(fail)}, lambda text: text.replace("hunter2", "***"))
    assert section.lines == ["no answer: ValueError: ***"]
