"""A part of the coverage check on the real local cluster; `make coverage` runs all of it."""

from checks.coverage.ledger import describe
from checks.coverage.stack import cover
from stack.settings import load


def test_every_operation_has_its_complete_trace() -> None:
    outcome = cover(load("local"), operations=400, malformed=80, seed=400)
    assert len(outcome.entries) == 400
    assert not outcome.failed, "\n".join(describe(outcome.failed))
