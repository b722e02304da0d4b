"""Grafana's HTTP API, https://grafana.com/docs/grafana/latest/developers/http_api/."""

from typing import Any, Final

import httpx

from stack.clients.http import SECONDS, QueryError, json_of

_MISSING: Final = 404


class GrafanaApi:
    """Datasources, folders and dashboards of one organization: that of the token.

    Each method raises `QueryError` if Grafana is unavailable or refuses.
    """

    def __init__(self, client: httpx.Client, url: str) -> None:
        """client: sends the token; url: base URL, without a slash at its end."""
        self._client = client
        self._url = url

    def read(self, path: str, **parameters: str | int) -> Any:
        """Return what is below `/api/`, or None if Grafana has no such thing."""
        answer = self._send("GET", path, params=parameters)
        return None if answer.status_code == _MISSING else json_of(answer)

    def create(self, path: str, body: Any) -> None:
        """Send a POST request."""
        json_of(self._send("POST", path, json=body))

    def replace(self, path: str, body: Any) -> None:
        """Send a PUT request."""
        json_of(self._send("PUT", path, json=body))

    def delete(self, path: str) -> None:
        """Delete what is there; it may be gone already."""
        answer = self._send("DELETE", path)
        if answer.status_code != _MISSING:
            json_of(answer)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._client.request(method, f"{self._url}/api/{path}", timeout=SECONDS, **options)
        except httpx.HTTPError as error:
            raise QueryError(f"{method} {path}: {type(error).__name__}: {error}") from error
