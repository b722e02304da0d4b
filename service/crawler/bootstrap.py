"""Builds the web-crawler from its parts."""

from contracts.services import CRAWLER
from contracts.topics import CRAWL_TOPIC, STATUS_TOPIC, dead_letter_topic
from lean_tracing import Tracing
from lean_tracing.asgi import App
from service.common.application import build_application
from service.common.health import Dependency, Health
from service.common.kafka.consumer import ConsumerLoop
from service.common.kafka.publisher import KafkaPublisher
from service.common.metrics import Metrics
from service.crawler.addresses import AddressRule
from service.crawler.config import CrawlerSettings
from service.crawler.fetch import Fetcher
from service.crawler.handler import CrawlHandler


def build(settings: CrawlerSettings, tracing: Tracing) -> App:
    """The web-crawler as an ASGI application (health and metrics only); it connects to nothing before it starts."""
    traces = tracing.traces
    metrics = Metrics(settings.stored_traces)
    publisher = KafkaPublisher(
        settings, traces, metrics, client_id=CRAWLER, topics=(CRAWL_TOPIC, STATUS_TOPIC, dead_letter_topic(CRAWL_TOPIC))
    )
    fetcher = Fetcher(
        traces,
        seconds=settings.timeout_ms / 1000,
        max_bytes=settings.max_bytes,
        max_redirects=settings.max_redirects,
        rule=AddressRule(hosts=settings.allowed_hosts, networks=settings.allowed_networks),
        ca=settings.ca,
    )
    handler = CrawlHandler(fetcher.fetch, publisher.publish, traces, metrics.registry, fetcher.is_own)
    consumer = ConsumerLoop(
        topic=CRAWL_TOPIC,
        group=settings.consumer_group,
        settings=settings,
        traces=traces,
        metrics=metrics,
        publisher=publisher,
        handler=handler,
        prepare=publisher.ensure_topics,
        abandon=handler.abandon,
    )
    health = Health(
        [Dependency(name="kafka", check=publisher.check)],
        traces,
        metrics,
        alive=lambda: consumer.alive and publisher.alive,
    )
    return build_application(
        title="Web crawler",
        routers=[health.router()],
        metrics=metrics,
        parts=[fetcher, publisher, consumer, health],
        tracing=tracing,
    )
