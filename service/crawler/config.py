"""Settings of the web-crawler."""

from __future__ import annotations

from pydantic import Field

from service.common.config import ServiceSettings


class CrawlerSettings(ServiceSettings):
    """Adds the limits of a fetch."""

    consumer_group: str = Field(
        "web-crawler", alias="KAFKA_CONSUMER_GROUP", min_length=1, max_length=255, description="1 to 255 characters"
    )
    timeout_ms: int = Field(
        10_000, alias="CRAWLER_TIMEOUT_MS", ge=100, le=60_000, description="milliseconds, 100 to 60000"
    )
    max_bytes: int = Field(
        2_000_000, alias="CRAWLER_MAX_BYTES", ge=1000, le=50_000_000, description="bytes, 1000 to 50000000"
    )
    max_redirects: int = Field(5, alias="CRAWLER_MAX_REDIRECTS", ge=0, le=20, description="a whole number, 0 to 20")
