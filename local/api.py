"""The calls to the API server that the start of the cluster needs.

The kubernetes package takes a second to import, which is more than all the rest of an `up` with nothing to do.
"""

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.layout import API_PORT, GATEWAY

Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class NodeState:
    """What the API server knows of a node: its Ready condition, and whether pods may be placed on it."""

    ready: bool
    schedulable: bool


class Api:
    """The administrator's connection. Errors of the connection are OSError or http.client.HTTPException."""

    def __init__(self, pki: Path) -> None:
        self._pki = pki

    def is_ready(self) -> bool:
        """Whether the API server answers and all its checks pass."""
        try:
            return self.call("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def node_state(self, name: str) -> NodeState:
        """The state of a node; not ready if the API server does not answer or knows no such node."""
        try:
            status, node = self.call("GET", f"/api/v1/nodes/{name}")
        except (OSError, http.client.HTTPException):
            return NodeState(ready=False, schedulable=True)
        conditions = node.get("status", {}).get("conditions", []) if status == 200 else []
        return NodeState(
            ready=any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions),
            schedulable=not node.get("spec", {}).get("unschedulable", False),
        )

    def make_schedulable(self, name: str) -> None:
        """Lets pods be placed on a node again, after it was drained."""
        path = f"/api/v1/nodes/{name}"
        body = {"spec": {"unschedulable": None}}
        status, answer = self.call("PATCH", path, body, content_type="application/merge-patch+json")
        if status != 200:
            raise OSError(f"changing {path}: {status} {answer.get('message', answer)}")

    def apply(self, path: str, body: Object) -> None:
        """Server-side apply of one object at its full path."""
        status, answer = self.call(
            "PATCH", f"{path}?fieldManager=local&force=true", body, content_type="application/apply-patch+yaml"
        )
        if status not in (200, 201):
            raise OSError(f"applying {path}: {status} {answer.get('message', answer)}")

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, content_type: str = "application/json"
    ) -> tuple[int, Object]:
        """Sends one request. Returns the status and the decoded answer, {} if that is not a JSON object."""
        context = ssl.create_default_context(cafile=str(self._pki / "ca.crt"))
        context.load_cert_chain(self._pki / "admin.crt", self._pki / "admin.key")
        connection = http.client.HTTPSConnection(GATEWAY, API_PORT, context=context, timeout=5)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": content_type, "Accept": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        try:
            decoded = json.loads(text)
        except ValueError:
            decoded = None
        return answer.status, decoded if isinstance(decoded, dict) else {}
