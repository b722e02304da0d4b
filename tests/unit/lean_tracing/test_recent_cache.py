"""The cache is bounded, and keeps what is used often."""

from lean_tracing.recent_cache import RecentCache


def test_what_is_used_often_stays_among_values_that_occur_once() -> None:
    cache = RecentCache(10)
    cache.put("often", b"kept")
    for number in range(1000):
        cache.put(number, b"once")
        assert cache.get("often") == b"kept"
        assert cache.get(number) == b"once"


def test_it_keeps_the_last_entries_and_at_most_twice_as_many() -> None:
    cache = RecentCache(10)
    for number in range(1000):
        cache.put(number, b"")
    kept = [number for number in range(1000) if number in cache.recent or number in cache._older]
    assert kept[-10:] == list(range(990, 1000))
    assert 10 <= len(kept) <= 20


def test_what_it_does_not_know_is_none() -> None:
    assert RecentCache(1).get("a") is None
