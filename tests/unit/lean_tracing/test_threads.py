"""The context in other threads, executors and tasks."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import context as otel_context

from lean_tracing import ContextExecutor, carry, propagation
from lean_tracing.propagation import Propagator

PROPAGATOR = Propagator()
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"

_HERE = PROPAGATOR.from_kafka([("traceparent", TRACEPARENT), ("x-correlation-id", "c")])


def _current() -> tuple[str | None, str | None]:
    return propagation.trace_id(), propagation.correlation_id()


def test_carried_function_runs_in_the_context_it_was_carried_from() -> None:
    contexts: list[tuple[str | None, str | None]] = []

    def look(again: bool = False) -> None:
        contexts.append(_current())
        if again:
            carried()  # the same context twice at once

    token = otel_context.attach(_HERE)
    carried = carry(look)
    otel_context.detach(token)
    thread = threading.Thread(target=carried, args=(True,))
    thread.start()
    thread.join(10)
    look()
    assert contexts == [(TRACE, "c"), (TRACE, "c"), (None, None)]


def test_executor_runs_work_in_the_context_in_which_it_was_submitted() -> None:
    with ThreadPoolExecutor(1) as pool:
        executor = ContextExecutor(pool)
        token = otel_context.attach(_HERE)
        here = executor.submit(_current)
        mapped = executor.map(lambda _: _current(), range(2))
        otel_context.detach(token)
        assert here.result(10) == (TRACE, "c")
        assert list(mapped) == [(TRACE, "c")] * 2
        assert executor.submit(_current).result(10) == (None, None), "the pool's thread keeps nothing"
        executor.shutdown()
        with pytest.raises(RuntimeError):
            executor.submit(_current)


def test_tasks_threads_and_executors_of_asyncio() -> None:
    async def look() -> tuple[str | None, str | None]:
        await asyncio.sleep(0)
        return _current()

    async def everywhere() -> list[tuple[str | None, str | None]]:
        with ThreadPoolExecutor(1) as pool:
            token = otel_context.attach(_HERE)
            task = asyncio.create_task(look())
            thread = asyncio.to_thread(_current)
            carried = carry(look)
            executed = asyncio.get_running_loop().run_in_executor(ContextExecutor(pool), _current)
            contexts = [await thread]
            otel_context.detach(token)
            return [*contexts, await task, await executed, await carried()]

    assert asyncio.run(everywhere()) == [(TRACE, "c")] * 4
