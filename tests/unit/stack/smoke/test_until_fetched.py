"""The smoke check sends another request only while the page's Service refuses connections after a deployment."""

import pytest

from contracts.tasks import REFUSED
from stack.polling import CheckFailure
from stack.probe.request import TaskFailed
from stack.smoke.check import until_fetched


class Attempts:
    """Tasks that fail for these reasons, one after the other; then one that is completed."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = list(reasons)
        self.made = 0

    def __call__(self) -> str:
        self.made += 1
        if self.reasons:
            raise TaskFailed("1", self.reasons.pop(0))
        return "completed"


def test_a_refused_connection_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    attempts = Attempts(REFUSED, REFUSED)
    assert until_fetched(attempts, "the logs", sleep=lambda _: None) == "completed"
    assert attempts.made == 3
    assert capsys.readouterr().err.count("accepts no connections; sending another request") == 2


@pytest.mark.parametrize(("reason", "seconds"), [("cannot be fetched: its host has no address", 15.0), (REFUSED, -1.0)])
def test_another_failure_and_a_lasting_refusal_end_the_check(reason: str, seconds: float) -> None:
    attempts = Attempts(reason, reason)
    with pytest.raises(CheckFailure, match=reason) as failure:
        until_fetched(attempts, "the logs", seconds=seconds, sleep=lambda _: None)
    assert failure.value.look_at == "the logs"
    assert attempts.made == 1
