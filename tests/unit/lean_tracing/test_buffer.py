"""The buffer keeps order and its limit, and says what it let go."""

import random

from lean_tracing.buffer import Batch, Buffer


def _batch(number: int, size: int = 1000) -> Batch:
    return Batch(random.Random(number).randbytes(size), items=number)  # random bytes do not get smaller


def test_first_in_first_out_as_it_came() -> None:
    buffer = Buffer(1 << 20)
    for number in (1, 2, 3):
        assert buffer.add(_batch(number)) == 0
    assert (buffer.items, len(buffer)) == (6, 3)
    for number in (1, 2, 3):
        assert buffer.first() == _batch(number)
        assert buffer.first() == _batch(number), "looking does not take"
        assert buffer.drop_first() == number
    assert (buffer.items, len(buffer), buffer.bytes) == (0, 0, 0)


def test_full_it_drops_the_oldest_and_stays_within_its_limit() -> None:
    buffer = Buffer(5_000)
    lost = [buffer.add(_batch(number)) for number in range(1, 11)]
    assert lost == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6]
    assert buffer.bytes <= 5_000
    assert buffer.first().items == 7


def test_what_does_not_fit_at_all_is_lost_itself() -> None:
    buffer = Buffer(5_000)
    buffer.add(_batch(1))
    assert buffer.add(_batch(7, size=6_000)) == 1 + 7
    assert len(buffer) == 0


def test_it_compresses() -> None:
    buffer = Buffer(10_000)
    for _ in range(20):
        assert buffer.add(Batch(b"GET /api/tasks " * 400, items=1)) == 0


def test_clearing_says_how_much_was_there() -> None:
    buffer = Buffer(1 << 20)
    buffer.add(_batch(2))
    buffer.add(_batch(3))
    assert buffer.clear() == 5
    assert (len(buffer), buffer.bytes) == (0, 0)
