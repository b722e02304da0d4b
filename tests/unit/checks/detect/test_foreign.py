"""The pages of the traffic without faults: a share of 5 to 10 % fails, of every kind, for many users."""

import random
from collections import Counter

from checks.detect.foreign import FAILING_SHARE, mixed_pages
from stack.probe.request import OWN_PAGE

_COUNT = 20_000


def kind_of(url: str) -> str:
    return "dead" if "//dead-" in url else "own" if url == OWN_PAGE else url.rpartition("/")[2]


def test_a_small_share_of_the_pages_fails_in_each_way() -> None:
    choose = mixed_pages("http://192.0.0.9:80", random.Random(1))
    pages = [choose() for _ in range(_COUNT)]
    kinds = Counter(kind_of(page.url) for page in pages)
    assert kinds.keys() == {"own", "page", "dead", "404", "500", "slow"}
    failing = _COUNT - kinds["own"] - kinds["page"]
    assert 0.05 < FAILING_SHARE < 0.1
    assert abs(failing / _COUNT - FAILING_SHARE) < 0.01
    assert all(kinds[kind] > failing / 5 for kind in ("dead", "404", "500", "slow"))
    assert len({page.user for page in pages}) == 20
    assert len({page.url for page in pages if "//dead-" in page.url}) >= 10
