"""The root span of the probe's and the smoke check's traces.

Without it the root would be the gateway's span, whose parent no store has: Tempo shows `<root span not yet received>`
in the place of the root's service and name.
"""

from dataclasses import dataclass
from typing import Any, Final

import httpx

from contracts.http import KEEP_KEY
from stack.probe.request import Caller, Send

SPAN_NAME: Final = "request"
_PATH: Final = "/v1/traces"
_INTERNAL: Final = 1
_ERROR: Final = 2
_SEND_SECONDS: Final = 5.0


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
        attributes = {"user_agent.synthetic.type": "test", **({"task.id": self.task_id} if self.task_id else {})}
        span = {
            "traceId": self.trace_id,
            "spanId": self.span_id,
            # The samplers keep the trace.
            "traceState": f"{KEEP_KEY}=1",
            "flags": 1,
            "name": SPAN_NAME,
            "kind": _INTERNAL,
            "startTimeUnixNano": str(self.started),
            "endTimeUnixNano": str(self.ended),
            "attributes": _attributes(attributes),
            **({"status": {"code": _ERROR, "message": self.error}} if self.error else {}),
        }
        resource = {"service.name": self.caller.service, "deployment.environment.name": environment}
        scope_spans = [{"scope": {"name": self.caller.service}, "spans": [span]}]
        return {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": scope_spans}]}


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
        self.post(
            f"{self.url}{_PATH}",
            json=span.to_otlp(self.environment),
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=_SEND_SECONDS,
        ).raise_for_status()


def _attributes(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]
