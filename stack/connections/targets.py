"""To which addresses a program connects, as its environment has them."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

_PORTS: Final = {"http": 80, "https": 443, "postgresql+psycopg": 5432}
_URLS: Final = ("_URL", "_ENDPOINT")
_LISTS: Final = ("KAFKA_BOOTSTRAP_SERVERS", "CRAWLER_ALLOWED_HOSTS")
"""Variables with several host:port, separated by commas."""


def targets(environment: Mapping[str, str]) -> list[str]:
    """Return host:port of each dependency, each once, without credentials.

    >>> targets({"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "DATABASE_URL": "postgresql+psycopg://tasks@postgres/tasks"})
    ['kafka:9092', 'postgres:5432']
    """
    addresses: list[str] = []
    for name, value in environment.items():
        if name in _LISTS:
            addresses += [item.strip() for item in value.split(",") if ":" in item]
        elif name.endswith(_URLS):
            addresses += _of_url(value)
    return list(dict.fromkeys(addresses))


def _of_url(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # a malformed URL names no address
        return []
    if port is None:
        return []
    # The URL of several database servers has them as parameters.
    hosts = [value for name, value in parse_qsl(parts.query) if name == "host"]
    if hosts:
        return [host if ":" in host else f"{host}:{port}" for host in hosts]
    return [f"{parts.hostname}:{port}"] if parts.hostname else []
