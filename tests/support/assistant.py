"""Tools of an assistant over stores that give prepared answers."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from stack.assistant.tools import Tools
from stack.clients.loki import LokiClient
from stack.clients.prometheus import PrometheusClient
from stack.clients.traces import TraceStoreClient
from stack.release.journal import Journal
from stack.settings import Settings, load
from stack.settings.monitoring import monitoring_config

NOW = 1_800_000_000.0


class PreparedSources:
    """Answers each path of a store's API with a prepared document, and keeps the requests."""

    def __init__(
        self, answers: Mapping[str, Any], journal: Journal | None = None, settings: Settings | None = None
    ) -> None:
        self.settings = settings or load("dev")
        self.requests: list[httpx.Request] = []
        self._answers = answers
        self._journal = journal
        self._http = httpx.Client(transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        for path, document in self._answers.items():
            if request.url.path.startswith(path):
                return httpx.Response(200, json=document)
        return httpx.Response(404, text="no such page")

    @contextlib.contextmanager
    def prometheus(self) -> Iterator[PrometheusClient]:
        yield PrometheusClient("http://prometheus", self._http.get)

    @contextlib.contextmanager
    def traces(self) -> Iterator[TraceStoreClient]:
        yield TraceStoreClient("tempo", "http://tempo", self._http.get)

    @contextlib.contextmanager
    def loki(self) -> Iterator[LokiClient]:
        yield LokiClient("http://loki", self._http.get)

    def journal(self) -> Journal | None:
        return self._journal


def tools(sources: PreparedSources) -> Tools:
    """The tools of an assistant at the time `NOW`."""
    return Tools(sources, monitoring_config(sources.settings), clock=lambda: NOW)
