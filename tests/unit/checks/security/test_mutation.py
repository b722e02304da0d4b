"""The hostile inputs are the same ones for a seed, and most of them are no valid sample."""

from checks.security.mutation import Mutator

SAMPLES = [b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", b'{"user_query": "?"}']


def test_inputs_repeat_for_a_seed_and_differ_from_the_samples() -> None:
    first, same, other = (Mutator(seed, SAMPLES) for seed in (1, 1, 2))
    inputs = [first.next() for _ in range(1_000)]
    assert inputs == [same.next() for _ in range(1_000)]
    assert inputs != [other.next() for _ in range(1_000)]
    assert len(set(inputs) - set(SAMPLES)) > 900
    assert max(map(len, inputs)) <= 1 << 20
