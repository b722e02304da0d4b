"""A stack that built none of its back ends, deployed by `make deploy`: the checks work with it.

Kafka, Postgres, Prometheus and Grafana are processes of this machine; the other stores are those of the local stack.
Pulumi deploys the stack if its CLI is on PATH, and server-side apply if it is not.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import kubernetes
import pytest

from checks.coverage.ledger import describe
from checks.coverage.stack import cover
from checks.dashboards.stack import check_stack
from checks.harness.traffic import Traffic
from contracts import endpoints, secret_keys
from contracts.metadata import PROJECT
from contracts.services import SERVICES
from stack.accounting.judge import account
from stack.kubernetes.client import connect
from stack.polling import CheckFailure, poll_until
from stack.rollout.measurements import collect
from stack.settings import Settings, load
from stack.settings.monitoring import monitoring_config
from stack.smoke.check import check
from stack.stores import Stores
from tests.support.back_ends import BackEnds, back_ends
from tests.support.mistakes import make_mistakes
from tests.support.program import recorded
from tests.support.second_stack import configuration, deployed

pytestmark = pytest.mark.nightly

_NAME = "test"
NAMESPACE = "tracing-back-ends-test"
MINUTES = 3


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The stack, and what it uses."""

    settings: Settings
    back_ends: BackEnds

    @property
    def stores(self) -> Stores:
        return Stores(settings=self.settings, client=connect(self.settings.cluster))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with the services, in a namespace of its own."""
    client = connect(load("local").cluster)
    with back_ends(tmp_path_factory.mktemp("back-ends"), client) as made:
        config = configuration(NAMESPACE, {"probe": {"enabled": False}, **made.sections})
        values = {key: f"value-of-{key}" for key in secret_keys.GENERATED} | made.secrets
        manifests = recorded(_NAME, config | {f"{PROJECT}:{key}": value for key, value in values.items()}).manifests
        (rules,) = (item for item in manifests if item["metadata"]["name"] == "prometheus-rules")
        made.load_rules(rules["data"]["rules.yml"])
        with deployed(tmp_path_factory.mktemp("stack"), _NAME, config, made.secrets) as settings:
            yield Stack(settings=settings, back_ends=made)


def test_the_stack_builds_none_of_them(stack: Stack) -> None:
    apps = kubernetes.client.AppsV1Api(stack.stores.client)
    sets = {item.metadata.name for item in apps.list_namespaced_stateful_set(NAMESPACE).items}
    # The Prometheus is an agent: it scrapes, and sends the samples on.
    assert sets == {endpoints.COLLECTOR, endpoints.PROMETHEUS}


def test_the_smoke_check_passes(stack: Stack) -> None:
    report = check(stack.settings)
    assert report.stored
    assert {hop.service for hop in report.stored.hops} >= {*SERVICES}
    assert set(report.calls) >= {*SERVICES}


def test_the_coverage_check_reads_topics_and_the_database(stack: Stack) -> None:
    outcome = cover(stack.settings, operations=30, malformed=10, seed=1)
    assert not outcome.failed, "\n".join(describe(outcome.failed))


def test_the_dashboards_check_passes_in_your_grafana(stack: Stack) -> None:
    last: list[str] = []
    key = stack.stores.stack_key()

    def fine(gateway: str) -> bool:
        make_mistakes(gateway, key)
        checked = check_stack(stack.settings, MINUTES, lambda _: None)
        last[:] = [f"{failure.dashboard}, {failure.where}: {failure.what}" for failure in checked.result.failures]
        last.extend(f"{link.link}: {link.detail}" for link in checked.links if not link.ok)
        assert checked.result.dashboards
        return not last

    with stack.stores.gateway() as gateway, Traffic(gateway, rate=5, key=key):
        try:
            poll_until("data in every panel", lambda: fine(gateway), seconds=180, every=5)
        except CheckFailure as error:
            raise AssertionError("\n".join([str(error), *last])) from None


def test_spans_are_counted_and_the_gate_measures(stack: Stack) -> None:
    key = stack.stores.stack_key()
    with stack.stores.gateway() as gateway, Traffic(gateway, rate=5, key=key):
        started = time.time()
        time.sleep(30)
    with stack.stores.prometheus() as prometheus:

        def is_accounted() -> bool:
            accounting = account(monitoring_config(stack.settings), prometheus.query, seconds=60, end=time.time())
            return bool(accounting.differences) and not accounting.is_lost

        poll_until("every span at every stage", is_accounted, seconds=60, every=5)
        measured = collect(prometheus.query, (started, time.time()), "stable")
    assert {kind.partition(",")[0] for kind in measured.samples["baseline"]} == {*SERVICES}
