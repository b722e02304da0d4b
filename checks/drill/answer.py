"""Reads an engineer's answer, `HOP, CAUSE`, and compares it with the fault."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from checks.faults.model import CAUSES, HOPS, Choice, Fault

# These say nothing about a hop or a cause.
_FILLERS: Final = frozenset(
    ("a", "an", "and", "are", "between", "by", "from", "has", "have", "in", "is", "it", "its", "of", "on", "the", "to")
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the engineer answered."""

    text: str
    hop: Choice | None
    """None if the text names none, or more than one."""
    cause: Choice | None

    @property
    def problem(self) -> str:
        """What is missing in the answer; empty if it is complete."""
        if self.hop and not self.cause:
            return f"the hop is clear ({self.hop.title}), the cause is not"
        if self.cause and not self.hop:
            return f"the cause is clear ({self.cause.title}), the hop is not"
        return "" if self.hop else "neither the hop nor the cause is clear"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which part of an answer is right."""

    hop: bool
    cause: bool

    @property
    def is_right(self) -> bool:
        """Whether both are right."""
        return self.hop and self.cause


def parse(text: str) -> Answer:
    """Reads an answer: numbers of the lists, names, or free text, with a comma between hop and cause.

    Without a comma the whole text is searched for a hop and for a cause.
    """
    if numbers := re.fullmatch(r"\s*(\d+)[\s,;:]+(\d+)\s*", text):
        hop, cause = numbers.groups()
    else:
        parts = re.split(r"[,;:]", text, maxsplit=1)
        hop, cause = parts[0], parts[-1]
    return Answer(text=text, hop=choose(hop, HOPS), cause=choose(cause, CAUSES))


def choose(text: str, choices: Sequence[Choice]) -> Choice | None:
    """The choice that a text names: by its number, or by the longest of its names; None if none or several do."""
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", text):
        number = int(text)
        return choices[number - 1] if 1 <= number <= len(choices) else None
    words = _words(text)
    lengths = {choice.name: _longest(words, choice) for choice in choices}
    longest = max(lengths.values())
    best = [choice for choice in choices if lengths[choice.name] == longest]
    return best[0] if longest and len(best) == 1 else None


def compare(answer: Answer, fault: Fault) -> Verdict:
    """Compares an answer with the accepted hops and causes of a fault."""
    return Verdict(
        hop=answer.hop is not None and answer.hop.name in fault.hops,
        cause=answer.cause is not None and answer.cause.name in fault.causes,
    )


def _longest(words: list[str], choice: Choice) -> int:
    """Number of words of the longest name of a choice whose words are all in the text."""
    short = re.split(r"[(:]", choice.title)[0]
    names = (_words(name) for name in (choice.name, choice.title, short, *choice.aliases))
    return max((len(name) for name in names if set(name) <= set(words)), default=0)


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in _FILLERS]
