"""What the ledger test would see if a span were lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from checks.chaos.ledger import Ledger, read
from checks.chaos.plan import full
from checks.chaos.requests import A_REQUEST, SPANS, TRACES, Requests
from checks.chaos.run import Step, due_at
from checks.chaos.verify import verify
from checks.harness.receiver import spans_of
from stack.clients.traces import Span

REQUESTS = Requests("test")


def stored(number: int) -> dict[str, list[Span]]:
    """What a store that lost nothing answers."""
    return {
        trace_id: [
            Span(span_id=span_id, parent_id="", service="", name="", kind="", start=0, end=0, error=False)
            for span_id in sorted(span_ids)
        ]
        for trace_id, span_ids in REQUESTS.traces(number).items()
    }


def test_ids_in_the_ledger_are_those_that_are_sent() -> None:
    spans = spans_of(REQUESTS.encode(7))
    sent: dict[str, set[str]] = {}
    for span in spans:
        sent.setdefault(span.trace_id.hex(), set()).add(span.span_id.hex())
    assert sent == REQUESTS.traces(7)
    assert (len(sent), len(spans), A_REQUEST) == (TRACES, TRACES * SPANS, TRACES * SPANS)
    assert not sent.keys() & REQUESTS.traces(8).keys()
    assert not sent.keys() & Requests("another").traces(7).keys()


def test_nothing_lost() -> None:
    store = stored(1) | stored(2)
    verdict = verify(REQUESTS, [1, 2], lambda trace_id: store[trace_id])
    assert (verdict.acknowledged, verdict.stored, verdict.lost) == (2 * A_REQUEST, 2 * A_REQUEST, [])
    assert (verdict.duplicates, verdict.foreign) == (0, 0)


def test_lost_doubled_and_foreign_spans_are_seen() -> None:
    store = stored(1)
    first, second, third, *_ = store
    lost = store[first].pop()
    store[second].append(store[second][0])
    store[third].append(lost)
    verdict = verify(REQUESTS, [1], lambda trace_id: store[trace_id], late_seconds=0)
    assert verdict.lost == [f"{first}/{lost.span_id}"]
    assert (verdict.stored, verdict.duplicates, verdict.foreign) == (A_REQUEST - 1, 1, 1)


def test_a_trace_that_is_late_is_waited_for() -> None:
    store, asked = stored(1), set[str]()

    def lookup(trace_id: str) -> list[Span]:
        late = trace_id not in asked
        asked.add(trace_id)
        return [] if late else store[trace_id]

    assert verify(REQUESTS, [1], lookup).lost == []


def test_a_line_that_was_cut_off_is_no_acknowledgement(tmp_path: Path) -> None:
    file = tmp_path / "run.ledger"
    with Ledger(file) as ledger:
        ledger.acknowledge(1)
        ledger.acknowledge(25)
    with file.open("a") as end:
        end.write("3")
    assert read(file) == [1, 25]


def test_acknowledgements_outlive_the_process_that_noted_them(tmp_path: Path) -> None:
    file = tmp_path / "run.ledger"
    program = (
        "import sys, pathlib\n"
        "from checks.chaos.ledger import Ledger\n"
        "ledger = Ledger(pathlib.Path(sys.argv[1]))\n"
        "for number in range(1_000_000): ledger.acknowledge(number); print(number, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(file)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    counts = [int(child.stdout.readline()) for _ in range(20)]
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    child.stdout.close()
    assert read(file)[: len(counts)] == counts


@pytest.mark.parametrize("seed", range(20))
def test_the_full_plan_has_every_fault_with_any_seed(seed: int) -> None:
    steps = full(seed, kills=20, unavailable_seconds=600)
    faults = [step.fault for step in steps]
    assert faults.count("kill-collector") == 20
    assert steps.count(Step(fault="store-unavailable", seconds=600)) == 1
    assert {"kill-store", "rolling-restart", "cut-from-store", "cut-from-senders", "disk-full"} < set(faults)
    assert steps == full(seed, kills=20, unavailable_seconds=600)


def test_the_faults_fill_the_whole_of_the_load() -> None:
    steps = [Step(fault="kill-store"), Step(fault="store-unavailable", seconds=50), Step(fault="kill-store")]
    assert due_at(steps, spans=9_000, rate=100) == [1_000, 2_000, 8_000]
    assert due_at(steps, spans=1_000, rate=100) == [0, 0, 1_000]  # more faults than load: no waiting in between
