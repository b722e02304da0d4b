"""Health of a service: is the process alive, is it ready for work, and are its dependencies available."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from contracts import http
from lean_tracing import TraceManager
from lean_tracing.background import Loop
from service.common.metrics import Metrics

_SECONDS_WHEN_UP = 3.0
_SECONDS_WHEN_DOWN = 0.5
_LONGEST_DETAIL = 200
_SECONDS_BETWEEN_REASONS = 10.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """A system that the service needs."""

    name: str
    check: Callable[[], None]
    """Raises when the dependency is unavailable; takes a few seconds at most."""
    required: bool = True
    """The service is not ready without it."""
    at_first: bool = False
    """Required only until its first successful check.

    For a dependency that all replicas share, where the service can still answer some requests without it: otherwise its
    outage would make all replicas unready, and a partial outage a full one.
    """


@dataclass(frozen=True, kw_only=True)
class _State:
    is_up: bool
    detail: str
    latency_ms: float
    checked_at: float


class Health:
    """Checks the dependencies in its own thread: a probe is answered at once, even while a check hangs."""

    def __init__(
        self,
        dependencies: Sequence[Dependency],
        traces: TraceManager,
        metrics: Metrics,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        """alive: False when only a restart can help the process."""
        self._dependencies = dependencies
        self._traces = traces
        self._metrics = metrics
        self._alive = alive
        self._states: dict[str, _State] = {}
        self._logged: dict[str, _State] = {}
        self._have_answered: set[str] = set()
        self._loop = Loop("health", self._check_all, _logger, metrics.loop_failures.labels("health").inc)

    def start(self) -> None:
        """Starts the checks."""
        self._loop.start()

    def stop(self) -> None:
        """Stops the checks. A check in progress may run longer; it holds no resources."""
        self._loop.stop(0.5)

    @property
    def ready(self) -> bool:
        """Whether the service is not stopping, and every required dependency is available."""
        if self._loop.is_stopping:
            return False
        return all(self._is_satisfied(dependency) for dependency in self._dependencies if dependency.required)

    def _is_satisfied(self, dependency: Dependency) -> bool:
        state = self._states.get(dependency.name)
        return (state is not None and state.is_up) or (dependency.at_first and dependency.name in self._have_answered)

    def _check_all(self) -> float:
        """Returns the seconds until the next checks."""
        with self._traces.suppressed():
            for dependency in self._dependencies:
                self._check(dependency)
        all_up = all(state.is_up for state in self._states.values())
        return _SECONDS_WHEN_UP if all_up else _SECONDS_WHEN_DOWN

    def _check(self, dependency: Dependency) -> None:
        started = time.monotonic()
        detail = ""
        try:
            dependency.check()
        except BaseException as error:  # also CancelledError and the like: the dependency did not answer
            # The first line names the problem; drivers add pages of advice.
            line = f"{type(error).__name__}: {error}".partition("\n")[0]
            detail = self._traces.redactor.text(line, _LONGEST_DETAIL)
        ended = time.monotonic()
        latency_ms = round((ended - started) * 1000, 1)
        state = _State(is_up=not detail, detail=detail, latency_ms=latency_ms, checked_at=ended)
        if self._must_log(dependency.name, state):
            self._logged[dependency.name] = state
            _logger.log(
                logging.INFO if state.is_up else logging.WARNING,
                "dependency %s is %s",
                dependency.name,
                "up" if state.is_up else f"unavailable ({detail})",
            )
        self._states[dependency.name] = state
        if state.is_up:
            self._have_answered.add(dependency.name)
        self._metrics.dependency_up.labels(dependency.name).set(state.is_up)

    def _must_log(self, name: str, state: _State) -> bool:
        """Whether the log's last line about a dependency is not true any more.

        A new reason may wait for a while, so that reasons in turn do not fill the log.
        """
        logged = self._logged.get(name)
        if logged is None or logged.is_up != state.is_up:
            return True
        return logged.detail != state.detail and state.checked_at - logged.checked_at >= _SECONDS_BETWEEN_REASONS

    def router(self) -> APIRouter:
        """GET /api/health, /api/health/live and /api/health/ready: 200, or 503 if the answer is no."""
        router = APIRouter(tags=["operations"])

        @router.get(http.LIVE, summary="Is the process alive? Independent of its dependencies")
        async def live() -> JSONResponse:
            alive = self._alive()
            return JSONResponse({"status": "ok" if alive else "dead"}, status_code=200 if alive else 503)

        @router.get(http.READY, summary="Is the service ready for work?")
        async def ready() -> JSONResponse:
            return JSONResponse({"status": "ok" if self.ready else "unavailable"}, 200 if self.ready else 503)

        @router.get(http.HEALTH, summary="The whole health, with the last check of each dependency")
        async def health() -> JSONResponse:
            states = dict(self._states)
            is_up = self._alive() and self.ready
            is_degraded = any(not state.is_up for state in states.values())
            body = {
                "status": ("degraded" if is_degraded else "ok") if is_up else "unavailable",
                "live": self._alive(),
                "ready": self.ready,
                "dependencies": {
                    dependency.name: self._describe(dependency, states.get(dependency.name))
                    for dependency in self._dependencies
                },
            }
            return JSONResponse(body, status_code=200 if is_up else 503)

        return router

    @staticmethod
    def _describe(dependency: Dependency, state: _State | None) -> dict[str, object]:
        if state is None:
            return {"status": "unknown", "required": dependency.required}
        return {
            "status": "up" if state.is_up else "down",
            "required": dependency.required,
            "latency_ms": state.latency_ms,
            "checked_seconds_ago": round(time.monotonic() - state.checked_at, 1),
            **({"detail": state.detail} if state.detail else {}),
        }
