"""The application of the benchmark on a real socket."""

import asyncio
import threading
from typing import Any

from checks.bench.serve import InProgress


def test_a_request_is_in_progress_until_its_span_has_ended() -> None:
    answered, end = threading.Event(), threading.Event()
    ended: list[bool] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.body"})
        await asyncio.to_thread(end.wait, 10)
        ended.append(True)  # where a tracing middleware ends the span

    async def send(_message: Any) -> None:
        answered.set()

    requests = InProgress(app)
    server = threading.Thread(target=lambda: asyncio.run(requests({}, None, send)))
    server.start()
    assert answered.wait(10)
    threading.Timer(0.1, end.set).start()
    requests.wait()
    assert ended == [True]
    server.join(10)
