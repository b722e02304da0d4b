"""Asks independent questions at the same time. Each answer becomes a section as soon as it is there."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

SOURCE_SECONDS: Final = 15.0
"""Time within which a source must answer; the others are printed without it."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading, and the lines below it."""

    title: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Question:
    """What gives the lines of a section, and the time in s that it has."""

    ask: Callable[[], Sequence[str]]
    seconds: float = SOURCE_SECONDS


def answers(questions: Mapping[str, Question], redact: Callable[[str], str]) -> Iterator[Section]:
    """Yield a section for each question, by its title, in the order in which the answers arrive.

    A source that fails, or does not answer in time, has one line and delays no other.

    Args:
        questions: by the titles of their sections.
        redact: applied to the messages of exceptions.
    """
    arrived: queue.SimpleQueue[Section] = queue.SimpleQueue()

    def ask(title: str, question: Question) -> None:
        try:
            lines = question.ask()
        except Exception as error:  # one broken source must not hide the others
            lines = [f"no answer: {redact(f'{type(error).__name__}: {error}')}"]
        arrived.put(Section(title=title, lines=lines))

    # Daemons: a thread that waits for a source must not keep the program from ending.
    threads = [threading.Thread(target=ask, args=item, daemon=True) for item in questions.items()]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    waiting = dict(questions)
    while waiting:
        next_late = min(waiting, key=lambda title: waiting[title].seconds)
        try:
            section = arrived.get(timeout=max(0.0, start + waiting[next_late].seconds - time.monotonic()))
        except queue.Empty:
            section = Section(title=next_late, lines=[f"no answer within {waiting[next_late].seconds:g} s"])
        if waiting.pop(section.title, None):  # an answer that came too late has its section already
            yield section
