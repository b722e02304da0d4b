"""Hostile bytes: valid samples that are changed at random."""

from collections.abc import Sequence
from random import Random
from typing import Final

_ODD: Final = (
    b"", b"\x00", b"\xff" * 4, b"\r\n", b"\n\n", b"%00", b"%", b"\xed\xa0\x80", b"\xf0\x9f\x92\xa3", b"'\";--", b"{}",
    b"[[", b"-1", b"9" * 40, b"1e999", b"NaN", b"null", b"${X}", b"../../", b"=", b",",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff\xff\x01",
)  # fmt: skip
_LONGEST: Final = 1 << 20


class Mutator:
    """Makes inputs of samples, the same ones for the same seed."""

    def __init__(self, seed: int, samples: Sequence[bytes]) -> None:
        """samples: valid inputs."""
        self.random = Random(seed)
        self._samples = samples

    def next(self) -> bytes:
        """Return a sample with one to six changes; one in a thousand inputs is up to 1 MiB long."""
        random = self.random
        data = bytearray(random.choice(self._samples))
        for _ in range(random.randint(1, 6)):
            start = random.randint(0, len(data))
            end = min(len(data), start + random.choice((0, 1, 2, 8, 64)))
            data[start:end] = random.choice((self._bit, self._odd, self._random, self._part, self._repeated))(
                data, start
            )
        return bytes(data[:_LONGEST])

    def _bit(self, data: bytearray, start: int) -> bytes:
        return bytes([data[start] ^ (1 << self.random.randrange(8))]) if start < len(data) else b""

    def _odd(self, _data: bytearray, _start: int) -> bytes:
        return self.random.choice(_ODD)

    def _random(self, _data: bytearray, _start: int) -> bytes:
        return self.random.randbytes(self.random.choice((1, 2, 4, 16)))

    def _part(self, _data: bytearray, _start: int) -> bytes:
        other = self.random.choice(self._samples)
        start = self.random.randrange(len(other) + 1)
        return other[start : start + self.random.randrange(64)]

    def _repeated(self, data: bytearray, start: int) -> bytes:
        times = self.random.choice((2, 3, 50)) if self.random.random() < 0.995 else 100_000
        return bytes(data[start : start + self.random.choice((1, 1, 4))]) * times
