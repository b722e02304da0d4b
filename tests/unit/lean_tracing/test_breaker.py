"""The breaker's transitions, on a clock of the test."""

from lean_tracing.breaker import Breaker, State


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _state(breaker: Breaker) -> State:
    return breaker.state  # a call, because the type checker believes that an attribute stays what it was


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(3, 5.0, _Clock())
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert _state(breaker) is State.CLOSED
    assert breaker.allows()
    for _ in range(3):
        breaker.failed()
    assert _state(breaker) is State.OPEN
    assert not breaker.allows()
    assert breaker.opened == 1


def test_an_open_one_lets_one_trial_through_at_a_time() -> None:
    clock = _Clock()
    breaker = Breaker(1, 5.0, clock)
    breaker.failed()
    assert breaker.seconds_until_trial() == 5.0
    clock.now += 4.9
    assert not breaker.allows()
    clock.now += 0.2
    assert breaker.seconds_until_trial() == 0.0
    assert breaker.allows()
    assert not breaker.allows(), "the trial is under way"
    breaker.failed()
    assert not breaker.allows()
    assert breaker.opened == 1, "it has never been closed meanwhile"
    clock.now += 5.1
    assert breaker.allows()
    breaker.succeeded()
    assert _state(breaker) is State.CLOSED
    assert breaker.allows()


def test_the_end_does_not_wait_for_the_next_trial() -> None:
    breaker = Breaker(1, 5.0, _Clock())
    breaker.failed()
    breaker.try_now()
    assert breaker.allows()
