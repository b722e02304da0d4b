"""The coverage check on all three services in this process."""

from checks.coverage.ledger import describe
from tests.support.system import MemoryStore, System

OPERATIONS = 150


def test_every_operation_has_its_complete_trace(system: System) -> None:
    outcome = system.cover(OPERATIONS, OPERATIONS // 3)
    assert len(outcome.entries) == OPERATIONS
    assert not outcome.failed, "\n".join(describe(outcome.failed))
    assert outcome.percent == 100.0
    assert sum(entry.operation.malformed for entry in outcome.entries) == OPERATIONS // 3


def test_a_span_that_the_store_lost_is_named(system: System) -> None:
    store = MemoryStore(system.recorders, lost=lambda span: span.name == "send requests-web-crawl")
    outcome = system.cover(12, 0, store=store, trace_seconds=1.5)
    lacking = [entry for entry in outcome.entries if entry.operation.kind in ("create", "message new")]
    assert lacking
    for entry in lacking:
        assert not entry.is_covered
        assert (
            "missing: task-manager PRODUCER 'send requests-web-crawl' below task-manager CONSUMER" in entry.problems()
        )
        assert (
            "web-crawler CONSUMER 'process requests-web-crawl' has a parent that is not in the trace"
            in entry.problems()
        )
    assert any(str(lacking[0].operation.trace_id) in line for line in describe(outcome.failed))
    assert outcome.percent < 100
