"""The topology of prod with every connection encrypted, and its way back to connections in clear, under load.

Pulumi deploys the stack if its CLI is on PATH, and server-side apply if it is not.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import pytest

from checks.chaos.cluster import LocalCluster
from checks.ha.topology import NAME, sections, with_sections
from checks.harness.certificates import self_signed
from checks.harness.s3 import ACCESS, S3Server
from contracts import secret_keys
from contracts.metadata import PROJECT
from contracts.services import SERVICES
from local.layout import GATEWAY as MACHINE
from stack.components.encryption.settings import EncryptionValue
from stack.components.shared.object_storage import S3
from stack.kubernetes.client import connect
from stack.settings import Settings, effective_config, parse
from stack.smoke.check import check
from stack.stores import Stores
from tests.support.clone import Clone
from tests.support.encrypted_services import taken_by_both
from tests.support.traced_requests import TracedRequests, require_whole

pytestmark = pytest.mark.nightly

_BUCKET: Final = "telemetry"
_BACK: Final[tuple[EncryptionValue, ...]] = (True, "preferred", "accepted", False)
_DEPLOYMENT_SECONDS: Final = 1800.0
"""Three brokers and the parts of Tempo start one after the other, on two cores."""


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """The stack, of which a deployment has some settings."""

    clone: Clone
    config: dict[str, Any]
    secrets: dict[str, str]

    def deploy(self, value: EncryptionValue) -> Settings:
        """Deploy the stack with a value of each setting of `encryption` that has steps."""
        encryption = {**dict.fromkeys(("kafka", "telemetry", "services"), value), "postgres": True}
        config = {**self.config, f"{PROJECT}:encryption": encryption}
        self.clone.declare(NAME, config)
        self.clone.run("make", "deploy", f"STACK={NAME}", secrets=self.secrets, seconds=_DEPLOYMENT_SECONDS)
        return parse(config, NAME)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    local = effective_config("local")
    key, certificate = self_signed(MACHINE)
    storage = S3Server(tmp_path_factory.mktemp("storage"), key, certificate, MACHINE)
    storage.make_bucket(_BUCKET)
    bucket = S3(
        bucket=_BUCKET, endpoint=storage.endpoint, region="us-east-1", force_path_style=True, ca=certificate.decode()
    )
    has_tempo = local.get(f"{PROJECT}:traces", {}).get("backend") != "jaeger"
    changes = sections(None, bucket, tempo=has_tempo, logs=local.get(f"{PROJECT}:logs", {}).get("enabled", True))
    clone = Clone.on_the_local_cluster(tmp_path_factory.mktemp("clone") / "clone")
    keys = (secret_keys.OBJECT_STORAGE_ACCESS_KEY, secret_keys.OBJECT_STORAGE_SECRET_KEY)
    with ExitStack() as running:
        storage.start()
        running.callback(storage.kill)
        running.callback(clone.run, "./wct", "destroy", NAME, "--yes", "--delete-data")
        yield Deployed(
            clone=clone, config=with_sections(local, changes), secrets=dict(zip(keys, ACCESS.values(), strict=True))
        )


def test_every_hop_is_encrypted_and_nothing_is_lost_on_the_way_back(stack: Deployed) -> None:
    settings = stack.deploy(_BACK[0])
    report = check(settings)
    assert report.stored
    assert {hop.service for hop in report.stored.hops} >= {*SERVICES}
    cluster, stores = LocalCluster(settings), Stores(settings=settings, client=connect(settings.cluster))
    for current, following in pairwise(_BACK):
        is_page_encrypted = True in (current, following)
        with ExitStack() as sending:
            requests = [
                sending.enter_context(TracedRequests(cluster, encrypted, page_encrypted=is_page_encrypted))
                for encrypted in taken_by_both(current, following)
            ]
            stack.deploy(following)
        for sent in requests:
            assert sent.accepted
            assert not sent.failures, f"{current} → {following}: {sent.failures[:3]} of {len(sent.accepted)}"
            require_whole(stores, sent.accepted)
