"""Carries the current context to other threads."""

import functools
import inspect
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar, cast

from lean_tracing.current import attach, detach, get_current

P = ParamSpec("P")
R = TypeVar("R")


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """A function or coroutine function that runs in the context of this moment, even if another thread calls it later.

    Tasks of asyncio and `asyncio.to_thread` carry the context by themselves; threads and executors do not.
    """
    context = get_current()

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            token = attach(context)
            try:
                return await function(*args, **kwargs)
            finally:
                detach(token)

        return cast(Callable[P, R], call_async)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        token = attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            detach(token)

    return call


class ContextExecutor(Executor):
    """An executor whose work runs in the context in which it was submitted; also for `loop.run_in_executor`."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Submit a function that runs in the caller's context; `map` calls this method as well."""
        return self._executor.submit(carry(function), *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait, cancel_futures=cancel_futures)
