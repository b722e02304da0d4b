"""Waiting with a limit: the value that ends it, and what the failure names."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from stack.polling import CheckFailure, poll_until


def test_it_returns_the_first_truthy_value() -> None:
    values: Iterator[Any] = iter([None, 0, [], "value"])
    assert poll_until("a value", lambda: next(values), every=0) == "value"


@pytest.mark.parametrize("error", [CheckFailure("no hop"), httpx.ConnectError("refused")])
def test_a_probe_that_cannot_look_is_called_again(error: Exception) -> None:
    errors = [error]

    def probe() -> bool:
        if errors:
            raise errors.pop()
        return True

    assert poll_until("an answer", probe, every=0)


def test_any_other_exception_ends_the_wait() -> None:
    def probe() -> bool:
        raise AssertionError("the process has ended")

    with pytest.raises(AssertionError, match="has ended"):
        poll_until("an answer", probe)


def test_the_failure_names_the_condition_the_limit_the_last_result_and_what_to_look_at() -> None:
    with pytest.raises(CheckFailure) as failure:
        poll_until("the task to be completed", lambda: 0, seconds=0, look_at="kubectl logs")
    assert str(failure.value) == (
        "waited 0 s for the task to be completed: the last result was 0\n  look at: kubectl logs"
    )

    def probe() -> bool:
        raise CheckFailure("hop missing", "the edge table")

    with pytest.raises(CheckFailure, match=r"for the trace: hop missing$"):
        poll_until("the trace", probe, seconds=0)
