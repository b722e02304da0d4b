"""Spans of child processes arrive, for every way to start and to end a child."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from checks.harness.receiver import Receiver, receiving
from lean_tracing.otlp_exporter import TRACES

_ROOT = Path(__file__).parents[3]
# A file, because children that are spawned import it.
_PROGRAM = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from lean_tracing import TracingSettings, start_tracing

SETTINGS = TracingSettings(service_name="parent", endpoint=os.environ["RECEIVER"])

def child(number, tracing=None, ends=lambda: None):
    tracing = tracing or start_tracing(SETTINGS)
    with tracing.traces.span(f"child {number}"):
        pass
    ends()

def in_pool(number):
    child(number, tracing)

def children(context, arguments):
    started = [context.Process(target=child, args=(number, *arguments)) for number in range(3)]
    for process in started:
        process.start()
    return started

def joined(processes):
    for process in processes:
        process.join(20)
    print([process.exitcode for process in processes], flush=True)

if __name__ == "__main__":
    tracing = start_tracing(SETTINGS)
    with tracing.traces.span("parent"):
        pass
    fork = multiprocessing.get_context("fork")
    match sys.argv[1]:
        case "spawn" | "forkserver" as method:  # they start tracing themselves
            joined(children(multiprocessing.get_context(method), ()))
        case "fork":
            joined(children(fork, (tracing,)))
        case "fork, the receiver unavailable":
            joined(children(fork, (tracing,)))
            os._exit(0)  # the parent's own wait is not in question
        case "fork, tracing started in the child":
            joined(children(fork, ()))
        case "sys.exit":
            joined(children(fork, (tracing, lambda: sys.exit(3))))
        case "an error":
            sys.stderr = open(os.devnull, "w")
            joined(children(fork, (tracing, lambda: 1 / 0)))
        case "terminate":
            ready = fork.Semaphore(0)
            processes = children(fork, (tracing, lambda: (ready.release(), time.sleep(60))))
            assert all(ready.acquire(timeout=20) for _ in processes)
            for process in processes:
                process.terminate()
            joined(processes)
        case "pool":
            with fork.Pool(3) as pool:
                pool.map(in_pool, range(3))
        case "executor":
            with ProcessPoolExecutor(3, mp_context=fork) as executor:
                list(executor.map(in_pool, range(3)))
        case "os.fork":
            for number in range(3):
                if os.fork() == 0:
                    in_pool(number)
                    sys.exit(0)
            for _ in range(3):
                os.wait()
        case "grandchildren":
            def above():
                joined(children(fork, (tracing,)))
            process = fork.Process(target=above)
            process.start()
            process.join(20)
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def _run(directory: Path, how: str, endpoint: str) -> str:
    program = directory / "program.py"
    program.write_text(_PROGRAM)
    environment = {**os.environ, "RECEIVER": endpoint, "PYTHONPATH": str(_ROOT)}
    ended = subprocess.run(
        [sys.executable, program, how], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return ended.stdout.strip()


@pytest.mark.parametrize(
    ("how", "codes"),
    [
        ("fork", "[0, 0, 0]"),
        ("fork, tracing started in the child", "[0, 0, 0]"),
        ("spawn", "[0, 0, 0]"),
        ("forkserver", "[0, 0, 0]"),
        ("sys.exit", "[3, 3, 3]"),
        ("an error", "[1, 1, 1]"),
        ("terminate", "[-15, -15, -15]"),
        ("pool", ""),
        ("executor", ""),
        ("os.fork", ""),
        ("grandchildren", "[0, 0, 0]"),
    ],
)
def test_the_spans_of_children_arrive_once(receiver: Receiver, tmp_path: Path, how: str, codes: str) -> None:
    assert _run(tmp_path, how, receiver.endpoint) == codes
    assert sorted(span.name for span in receiver.spans()) == ["child 0", "child 1", "child 2", "parent"]
    assert len(_instances(receiver)) > 1, "each process is an instance of its own"


def _instances(receiver: Receiver) -> set[str]:
    """The processes that sent spans."""
    return {
        attribute.value.string_value
        for request in receiver.requests[TRACES]
        for part in ExportTraceServiceRequest.FromString(request).resource_spans
        for attribute in part.resource.attributes
        if attribute.key == "service.instance.id"
    }


def test_an_unavailable_receiver_delays_no_child_for_long(receiver: Receiver, tmp_path: Path) -> None:
    receiver.stop()
    began = time.monotonic()
    assert _run(tmp_path, "fork, the receiver unavailable", receiver.endpoint) == "[0, 0, 0]"
    assert time.monotonic() - began < 15, "5 s for the children, which end side by side, and their start"
