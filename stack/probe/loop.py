"""Makes one proof after the other until the probe is stopped."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from stack.probe.proof import Proof, Verdict

FIRST_SECONDS: Final = 10.0
"""The time before the first proof: the services may have started with the probe."""
LONGEST_PROOF_SECONDS: Final = 180.0
"""More than the limits of all steps; a longer proof hangs."""
_LEAST_PAUSE_SECONDS: Final = 1.0
_logger = logging.getLogger(__name__)


class Stopped(SystemExit):
    """The probe was stopped during a proof, which then has no result. Ends a thread of a step without a message."""


class Loop:
    """Makes proofs at a fixed rate."""

    def __init__(
        self,
        prove: Callable[[], Proof],
        add: Callable[[Proof], None],
        interval_seconds: float,
        stopping: threading.Event,
    ) -> None:
        """prove: makes one proof; add: takes its result; stopping: ends the loop at once."""
        self._prove = prove
        self._add = add
        self._interval = interval_seconds
        self._stopping = stopping
        self._ended_at = time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Pauses.

        Raises:
            Stopped: the probe was stopped.
        """
        if self._stopping.wait(seconds):
            raise Stopped

    @property
    def is_alive(self) -> bool:
        """Whether the last proof ended not too long ago."""
        return time.monotonic() - self._ended_at < self._interval + LONGEST_PROOF_SECONDS

    def run(self, first_seconds: float = FIRST_SECONDS) -> None:
        """Makes proofs until the loop is stopped."""
        try:
            self.sleep(first_seconds)
            while True:
                started = time.monotonic()
                self._run_once()
                self._ended_at = time.monotonic()
                self.sleep(max(_LEAST_PAUSE_SECONDS, started + self._interval - self._ended_at))
        except Stopped:
            _logger.info("stopped")

    def _run_once(self) -> None:
        try:
            proof = self._prove()
        except Exception:  # a bug: without a result the alert ProbeSilent fires, and the next proof may succeed
            _logger.exception("the proof ended without a result")
            return
        self._add(proof)
        if proof.verdict is not Verdict.COMPLETE:
            _logger.warning("trace %s: %s: %s", proof.trace_id, proof.verdict, "; ".join(proof.problems))
