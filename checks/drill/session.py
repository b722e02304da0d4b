"""One drill as the engineer sees it: the page, the answers, the hints, and the time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from checks.drill.answer import Answer, Verdict, compare, parse
from checks.faults.model import CAUSES, HOPS, Choice, Fault

HINT_SECONDS: Final = 60.0
"""What a hint costs."""
WRONG_SECONDS: Final = 60.0
"""What a wrong answer costs."""
_HELP: Final = f"""\
Which hop fails, and why? Look at the alerts, dashboards, traces and logs; docs/on-call.md says how to open them. Type:
  HOP, CAUSE   your answer, in words or numbers of the lists
  choices      the lists of hops and causes
  hint         a hint (costs {HINT_SECONDS:.0f} s, as does a wrong answer)
  give up      the end of this drill, with its solution"""


class Input(Protocol):
    """Where the engineer's lines come from."""

    ended: bool

    def read(self, seconds: float) -> str | None:
        """The next line; None if there is none within the time."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in the drill."""

    seconds: float
    """Since the page."""
    text: str


@dataclass(kw_only=True)
class Result:
    """How a drill went."""

    is_solved: bool = False
    gave_up: bool = False
    hints: int = 0
    wrong: int = 0
    seconds: float = 0.0
    """From the page to the right answer, or to the end."""
    events: list[Event] = field(default_factory=list)

    @property
    def score(self) -> float:
        """The time with the costs of hints and wrong answers, in s."""
        return self.seconds + HINT_SECONDS * self.hints + WRONG_SECONDS * self.wrong

    @property
    def summary(self) -> str:
        """One sentence."""
        end = "found" if self.is_solved else "given up" if self.gave_up else "not found in time"
        costs = f", {self.hints} hints, {self.wrong} wrong answers: {self.score:.0f} s with their costs"
        return f"{end} after {self.seconds:.0f} s{costs if self.hints or self.wrong else ''}"


class Session:
    """Talks with the engineer while the fault is in the stack."""

    def __init__(
        self,
        fault: Fault,
        lines: Input,
        on_output: Callable[[str], None],
        *,
        limit: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepares a session.

        Args:
            fault: the fault that is in the stack.
            lines: the engineer's lines.
            on_output: prints a line.
            limit: the time for the answer, in s.
            clock: the present time in s.
        """
        self._fault = fault
        self._lines = lines
        self._on_output = on_output
        self._limit = limit
        self._clock = clock
        self._started = 0.0
        self.result = Result()

    def run(self) -> Result:
        """Pages, and reads lines until the answer is right, the engineer gives up, or the time is over."""
        self._started = self._clock()
        self._print(self._fault.page)
        self._on_output(_HELP)
        while not (self.result.is_solved or self.result.gave_up):
            remaining = self._limit - self._elapsed()
            line = self._lines.read(max(0.0, remaining)) if remaining > 0 else None
            if line is not None:
                self._take(line.strip())
            elif self._lines.ended or self._elapsed() >= self._limit:
                break
        self.result.seconds = self._elapsed()
        self._note(self.result.summary)
        return self.result

    def _take(self, line: str) -> None:
        command = line.lower().rstrip("?.!")
        if command in ("hint", "h"):
            self._hint()
        elif command in ("choices", "help", ""):
            self._on_output(choices())
        elif command in ("give up", "giveup", "quit", "exit"):
            self.result.gave_up = True
        else:
            self._judge(parse(line))

    def _hint(self) -> None:
        if self.result.hints == len(self._fault.hints):
            self._on_output("there are no other hints; `give up` ends the drill and says what the fault was")
            return
        self._print(f"hint: {self._fault.hints[self.result.hints]}")
        self.result.hints += 1

    def _judge(self, answer: Answer) -> None:
        if answer.problem:
            self._on_output(f"{answer.problem}. Answer HOP, CAUSE; `choices` lists both. This cost nothing.")
            return
        verdict = compare(answer, self._fault)
        self._note(f"answer: {answer.text}")
        self._print(reply(verdict))
        if verdict.is_right:
            self.result.is_solved = True
        else:
            self.result.wrong += 1

    def _print(self, text: str) -> None:
        self._note(text)
        self._on_output(text)

    def _note(self, text: str) -> None:
        self.result.events.append(Event(seconds=self._elapsed(), text=text))

    def _elapsed(self) -> float:
        return self._clock() - self._started


def reply(verdict: Verdict) -> str:
    """What the engineer reads after an answer."""
    if verdict.is_right:
        return "right: hop and cause"
    if verdict.hop:
        return "the hop is right, the cause is wrong: read the errors of this hop, in its failed traces and its log"
    if verdict.cause:
        return "the cause is right, the hop is wrong: follow a failed trace to the last span that is there"
    return "hop and cause are wrong: which service reports errors or is slow, and which of its calls?"


def choices() -> str:
    """The numbered lists of hops and causes."""
    return f"hops (a program, or the way between two):\n{_numbered(HOPS)}\ncauses:\n{_numbered(CAUSES)}"


def _numbered(items: tuple[Choice, ...]) -> str:
    return "\n".join(f"  {number:2} {item.title}" for number, item in enumerate(items, start=1))
