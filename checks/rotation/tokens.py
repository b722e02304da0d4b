"""The tokens of which servers accept two at a time, and whether all servers of the local stack accept one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import httpx

from checks.chaos.cluster import LocalCluster
from checks.rotation.certificates import PROXIED
from contracts import endpoints, secret_keys
from stack.polling import poll_until
from stack.settings.certificates import certified

KNOWN_SECONDS: Final = 150.0
"""The kubelet updates the files of a Secret once a minute; a Collector reads them again within another minute."""


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token with which clients authenticate."""

    title: str
    key: str
    """Of the secret that clients send."""
    other: str
    """Of the secret that servers accept as well."""
    answers: Callable[[LocalCluster, str], Iterator[int]]
    """Yields the HTTP status with which each server answers a request with a token; 401 if it refuses the token."""

    def wait(self, cluster: LocalCluster, value: str, *, accepted: bool) -> None:
        """Waits until each server accepts, or refuses, a token.

        Raises:
            CheckFailure: it does not within two and a half minutes.
        """

        def all_answer_as_expected() -> bool:
            refusals = [status == httpx.codes.UNAUTHORIZED for status in self.answers(cluster, value)]
            return bool(refusals) and set(refusals) == {not accepted}

        what = f"every server to {'accept' if accepted else 'refuse'} the {self.title}"
        poll_until(what, all_answer_as_expected, seconds=KNOWN_SECONDS, every=1, look_at="the servers' logs")


def _collectors(cluster: LocalCluster, value: str) -> Iterator[int]:
    for pod in cluster.ready(endpoints.COLLECTOR):
        url = f"{endpoints.url(pod.status.pod_ip, endpoints.OTLP_HTTP_PORT)}/v1/traces"
        yield httpx.post(url, json={}, headers=_headers(value), timeout=10).status_code


def _proxies(cluster: LocalCluster, value: str) -> Iterator[int]:
    with httpx.Client(verify=False, headers=_headers(value), timeout=10) as client:  # it knows no addresses of pods
        for item in certified(cluster.settings):
            if port := PROXIED.get(item.name):
                for pod in cluster.ready(item.name):
                    yield client.get(endpoints.url(pod.status.pod_ip, port, encrypted=True)).status_code


def _headers(value: str) -> dict[str, str]:
    return {"authorization": f"Bearer {value}"}


OTLP: Final = Token(
    title="OTLP token", key=secret_keys.OTLP_TOKEN, other=secret_keys.OTLP_TOKEN_OTHER, answers=_collectors
)
TELEMETRY: Final = Token(
    title="token of telemetry",
    key=secret_keys.TELEMETRY_TOKEN,
    other=secret_keys.TELEMETRY_TOKEN_OTHER,
    answers=_proxies,
)
