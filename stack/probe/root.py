"""The root span of the probe's and the smoke check's traces.

Without it the root would be the gateway's span, whose parent no store has: Tempo shows `<root span not yet received>`
in the place of the root's service and name.
"""

from dataclasses import dataclass
from typing import Any, Final

import httpx

from stack.probe import otlp
from stack.probe.request import Caller, Send

SPAN_NAME: Final = "request"


@dataclass(frozen=True, kw_only=True)
class RootSpan:
    """The caller's span, the parent of the gateway's."""

    trace_id: str
    span_id: str
    caller: Caller
    started: int
    """In ns since the epoch, as is `ended`."""
    ended: int
    task_id: str = ""
    """Of the task that was accepted. A search for the task then finds this span too, also where the store has not yet
    put it together with the services' spans."""
    error: str = ""
    """Why the request failed; empty if it was accepted."""

    def to_otlp(self, environment: str) -> dict[str, Any]:
        """Return the export request, as OTLP's JSON.

        Args:
            environment: name of the stack's environment.
        """
        span = otlp.span(
            self.trace_id,
            self.span_id,
            SPAN_NAME,
            otlp.INTERNAL,
            started=self.started,
            ended=self.ended,
            attributes={
                "user_agent.synthetic.type": "test",
                **({"task.id": self.task_id} if self.task_id else {}),
            },
            error=self.error,
        )
        return otlp.export_request(self.caller.service, [span], **{"deployment.environment.name": environment})


@dataclass(frozen=True, kw_only=True)
class Collector:
    """Where root spans are sent."""

    url: str
    """Of its receiver of OTLP over HTTP."""
    token: str
    environment: str
    post: Send = httpx.post

    def export(self, span: RootSpan) -> None:
        """Sends a root span.

        Raises:
            httpx.HTTPError: the Collector does not accept it.
        """
        otlp.send(self.url, self.token, span.to_otlp(self.environment), self.post)
