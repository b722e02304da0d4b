"""Health: is the process alive, is it ready for work, and how are the things it depends on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from contracts import http
from service.common.metrics import Metrics
from service.tracing import TraceManager
from service.tracing.background import Loop

_SECONDS_WHEN_UP = 3.0
_SECONDS_WHEN_DOWN = 0.5
_LONGEST_DETAIL = 200
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """`check` raises when the dependency is away, and takes a few seconds at most.

    required: no readiness without it. at_first: only until it has answered once. Where all replicas share it, and there
    is something to answer without it, taking all of them away would make an outage of a part one of the whole.
    """

    name: str
    check: Callable[[], None]
    required: bool = True
    at_first: bool = False


@dataclass(frozen=True, kw_only=True)
class _State:
    up: bool
    detail: str
    latency_ms: float
    checked_at: float


class Health:
    """Checks dependencies in a thread of its own: a probe is answered at once, however slow a broken dependency is."""

    def __init__(
        self,
        dependencies: Sequence[Dependency],
        traces: TraceManager,
        metrics: Metrics,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        """alive: False when the process can only be helped by a restart."""
        self._dependencies = dependencies
        self._traces = traces
        self._metrics = metrics
        self._alive = alive
        self._states: dict[str, _State] = {}
        self._answered: set[str] = set()
        self._loop = Loop("health", self._watch, _logger, metrics.loop_failures.labels("health").inc)

    def start(self) -> None:
        """Begins to check."""
        self._loop.start()

    def stop(self) -> None:
        """Ends checking; a check under way may outlive this, it holds nothing."""
        self._loop.stop(0.5)

    @property
    def ready(self) -> bool:
        """The required dependencies answered at their last check (or once), and the service is not stopping."""
        if self._loop.stopping:
            return False
        return all(self._can_do_with(dependency) for dependency in self._dependencies if dependency.required)

    def _can_do_with(self, dependency: Dependency) -> bool:
        state = self._states.get(dependency.name)
        return (state is not None and state.up) or (dependency.at_first and dependency.name in self._answered)

    def _watch(self) -> float:
        with self._traces.suppressed():
            for dependency in self._dependencies:
                self._check(dependency)
        everything_up = all(state.up for state in self._states.values())
        return _SECONDS_WHEN_UP if everything_up else _SECONDS_WHEN_DOWN

    def _check(self, dependency: Dependency) -> None:
        started = time.monotonic()
        detail = ""
        try:
            dependency.check()
        except BaseException as error:  # whatever it is, CancelledError too: the dependency did not answer
            # The first line says it; drivers add pages of advice.
            line = f"{type(error).__name__}: {error}".partition("\n")[0]
            detail = self._traces.redactor.text(line, _LONGEST_DETAIL)
        ended = time.monotonic()
        state = _State(up=not detail, detail=detail, latency_ms=round((ended - started) * 1000, 1), checked_at=ended)
        before = self._states.get(dependency.name)
        if before is None or before.up != state.up:
            _logger.log(
                logging.INFO if state.up else logging.WARNING,
                "dependency %s is %s",
                dependency.name,
                "up" if state.up else f"unavailable ({detail})",
            )
        self._states[dependency.name] = state
        if state.up:
            self._answered.add(dependency.name)
        self._metrics.dependency_up.labels(dependency.name).set(state.up)

    def router(self) -> APIRouter:
        """GET /api/health, /api/health/live and /api/health/ready: 200, or 503 where the answer is no."""
        router = APIRouter(tags=["operations"])

        @router.get(http.LIVE, summary="Is the process alive? Says nothing of its dependencies")
        async def live() -> JSONResponse:
            alive = self._alive()
            return JSONResponse({"status": "ok" if alive else "dead"}, status_code=200 if alive else 503)

        @router.get(http.READY, summary="Can it work now?")
        async def ready() -> JSONResponse:
            return JSONResponse({"status": "ok" if self.ready else "unavailable"}, 200 if self.ready else 503)

        @router.get(http.HEALTH, summary="All of it, each dependency with its last check")
        async def health() -> JSONResponse:
            states = dict(self._states)
            up = self._alive() and self.ready
            degraded = any(not state.up for state in states.values())
            body = {
                "status": ("degraded" if degraded else "ok") if up else "unavailable",
                "live": self._alive(),
                "ready": self.ready,
                "dependencies": {
                    dependency.name: self._describe(dependency, states.get(dependency.name))
                    for dependency in self._dependencies
                },
            }
            return JSONResponse(body, status_code=200 if up else 503)

        return router

    @staticmethod
    def _describe(dependency: Dependency, state: _State | None) -> dict[str, object]:
        if state is None:
            return {"status": "unknown", "required": dependency.required}
        return {
            "status": "up" if state.up else "down",
            "required": dependency.required,
            "latency_ms": state.latency_ms,
            "checked_seconds_ago": round(time.monotonic() - state.checked_at, 1),
            **({"detail": state.detail} if state.detail else {}),
        }
