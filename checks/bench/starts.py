"""The time that tracing adds to the start of a service: new processes, in turns and in random order."""

import random
import time
from collections.abc import Sequence

from checks.bench.child import Child
from checks.bench.instrumentation import transport
from checks.bench.measure import Peers, Series, Subject, Tick


def starts(peers: Peers, subjects: Sequence[Subject], *, repeats: int, tick: Tick) -> dict[Subject, Series]:
    """Start a new process of each subject `repeats` times, and once before that, unmeasured.

    The first start compiles byte code, which the image of a service has.

    Returns:
        µs from the start of the process until the service is ready, and its CPU time until then.
    """
    series = {subject: Series() for subject in subjects}
    for number in range(repeats + 1):
        tick(f"start: {number} of {repeats}")
        for subject in random.sample(subjects, len(subjects)):
            wall, cpu = _start(peers, subject)
            if number:
                series[subject].wall.append(wall)
                series[subject].cpu.append(cpu)
                series[subject].operations += 1
    return series


def _start(peers: Peers, subject: Subject) -> tuple[float, float]:
    receiver = peers.child.hello[transport(subject.variant)]
    started = time.monotonic()
    with Child("checks.bench.service", [subject.variant, "start", receiver], python=peers.python(subject)) as service:
        ready = service.hello
    return (ready["ready"] - started) * 1e6, ready["cpu"] * 1e6
