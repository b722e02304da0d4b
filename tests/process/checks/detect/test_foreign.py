"""The foreign pages as the crawler fetches them: each kind fails as it should, and none is the stack's failure."""

import os
from collections.abc import Iterator

import pytest

from checks.detect.foreign import ForeignSites
from lean_tracing.testing import Recorder
from service.crawler.addresses import AddressRule
from service.crawler.fetch import Cause, Fetcher, FetchFailed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to add an address to this machine")


@pytest.fixture(scope="module")
def sites() -> Iterator[ForeignSites]:
    # Another public address than that of a watch on the local stack, which may run at the same time.
    with ForeignSites("192.0.0.10") as started:
        yield started


@pytest.fixture
def fetcher(recorder: Recorder) -> Fetcher:
    """A crawler that reaches the public internet only."""
    return Fetcher(recorder.traces, seconds=5, max_bytes=100_000, max_redirects=1, rule=AddressRule())


@pytest.mark.parametrize("path", ["page", "slow"])
def test_a_page_answers(path: str, sites: ForeignSites, fetcher: Fetcher) -> None:
    assert fetcher.fetch(f"{sites.url}/{path}").title == "A foreign page"


@pytest.mark.parametrize("path", ["404", "500"])
def test_a_page_fails_at_the_site(path: str, sites: ForeignSites, fetcher: Fetcher) -> None:
    with pytest.raises(FetchFailed, match=path) as failure:
        fetcher.fetch(f"{sites.url}/{path}")
    assert failure.value.cause is Cause.PAGE


def test_the_address_stays_while_another_program_serves_pages_there(fetcher: Fetcher) -> None:
    with ForeignSites("192.0.0.10") as first:
        with ForeignSites("192.0.0.10") as second:
            assert fetcher.fetch(f"{second.url}/page").title == "A foreign page"
        assert fetcher.fetch(f"{first.url}/page").title == "A foreign page"
