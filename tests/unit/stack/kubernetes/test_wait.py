"""Waiting ends when nothing is pending, or at the deadline."""

from collections.abc import Callable

from stack.kubernetes.wait import wait_while


class Clock:
    """A clock that a sleep moves forward."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def wait(pending: Callable[[], list[str]], reports: list[list[str]], deadline: float) -> tuple[list[str], float]:
    clock = Clock()
    remaining = wait_while(pending, deadline=deadline, every=1, report=reports.append, clock=clock, sleep=clock.sleep)
    return remaining, clock.now


def test_it_ends_as_soon_as_nothing_is_pending() -> None:
    pending = [["a", "b"], ["b"], []]
    assert wait(lambda: pending.pop(0), [], deadline=100) == ([], 2)


def test_it_returns_what_is_pending_at_the_deadline_and_reports_it_every_10_seconds() -> None:
    reports: list[list[str]] = []
    assert wait(lambda: ["a"], reports, deadline=25) == (["a"], 26)
    assert reports == [["a"], ["a"]]
