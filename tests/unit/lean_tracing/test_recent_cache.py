"""The cache is bounded, and keeps what is used often."""

from lean_tracing.recent_cache import RecentCache


def test_what_is_used_often_stays_among_values_that_occur_once() -> None:
    cache: RecentCache[object, str] = RecentCache(10)
    cache.put("often", "kept")
    for number in range(1000):
        cache.put(number, "once")
        assert cache.get("often") == "kept"
        assert cache.get(number) == "once"


def test_it_keeps_the_last_entries_and_at_most_twice_as_many() -> None:
    cache: RecentCache[int, int] = RecentCache(10)
    for number in range(1000):
        cache.put(number, number)
    kept = [number for number in range(1000) if number in cache.recent or number in cache._older]
    assert kept[-10:] == list(range(990, 1000))
    assert 10 <= len(kept) <= 20


def test_what_it_does_not_know_is_none() -> None:
    assert RecentCache[str, str](1).get("a") is None
