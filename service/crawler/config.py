"""Settings of the web-crawler."""

import ipaddress
import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from contracts.topics import CONSUMER_GROUPS, CRAWL_TOPIC
from service.common.config import ServiceSettings
from service.crawler.addresses import Network

_HOST = re.compile(r"[a-z0-9_.-]{1,253}(:\d{1,5})?\Z")


def _entries(value: object) -> object:
    return [entry.strip().lower() for entry in value.split(",") if entry.strip()] if isinstance(value, str) else value


def _hosts(value: object) -> object:
    entries = _entries(value)
    if isinstance(entries, list) and not all(_HOST.match(entry) for entry in entries):
        raise ValueError("not a list of hosts")
    return entries


def _networks(value: object) -> object:
    entries = _entries(value)
    return [ipaddress.ip_network(entry) for entry in entries] if isinstance(entries, list) else entries


class CrawlerSettings(ServiceSettings):
    """Settings of the service, with the limits of a fetch."""

    consumer_group: str = Field(
        CONSUMER_GROUPS[CRAWL_TOPIC],
        alias="KAFKA_CONSUMER_GROUP",
        min_length=1,
        max_length=255,
        description="1 to 255 characters",
    )
    timeout_ms: int = Field(
        10_000, alias="CRAWLER_TIMEOUT_MS", ge=100, le=60_000, description="milliseconds, 100 to 60000"
    )
    # A page of one tag with very many attributes takes 16 times its length in memory, and a pod has 192 MiB.
    max_bytes: int = Field(
        2_000_000, alias="CRAWLER_MAX_BYTES", ge=1000, le=5_000_000, description="bytes, 1000 to 5000000"
    )
    max_redirects: int = Field(5, alias="CRAWLER_MAX_REDIRECTS", ge=0, le=20, description="a whole number, 0 to 20")
    ca: str | None = Field(
        None, alias="CRAWLER_CA", description="PEM of an authority that is trusted in addition to the public ones"
    )
    allowed_hosts: Annotated[frozenset[str], BeforeValidator(_hosts)] = Field(
        frozenset(),
        alias="CRAWLER_ALLOWED_HOSTS",
        description="a comma-separated list of host or host:port that may be crawled although they are not public",
    )
    allowed_networks: Annotated[tuple[Network, ...], BeforeValidator(_networks)] = Field(
        (),
        alias="CRAWLER_ALLOWED_NETWORKS",
        description="a comma-separated list of networks such as 10.1.0.0/16 that may be crawled although not public",
    )
