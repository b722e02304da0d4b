"""`make test`: the tests, in stages; those on the real local cluster too, if this machine can run one.

`make nightly` is the same with thousands of examples for each property, and with the tests on the cluster that take
minutes each. In CI a cluster that cannot start fails the run. Elsewhere its tests are left out, and the reason is
printed.
"""

import os
import subprocess
import sys
import tempfile
import time

from local.cluster import Cluster
from local.failure import Failure
from local.preflight import require

PYTEST = (sys.executable, "-m", "pytest")
SLOWEST = ("--durations=20", "--durations-min=10")
UNIT = ("unit", (*PYTEST, "tests/unit", "--numprocesses=2", "--dist=worksteal", "-p", "no:schemathesis"))
# These tests wait more than they compute, so there are more workers than cores. A file's tests stay together, since
# they share its fixtures; `tests/process/conftest.py` decides on the order of the files.
PROCESS = (
    "process",
    (*PYTEST, "tests/process", "--numprocesses=4", "--dist=loadfile", "--no-loadscope-reorder", *SLOWEST),
)
UP = ("up", (sys.executable, "-m", "cli", "up", "--cluster", "compiled"))
# With the cluster up the tests of its life cycle skip: they bring up and end one of their own.
CLUSTER = ("cluster", (*PYTEST, "tests/cluster", *SLOWEST))
DOWN = ("down", (sys.executable, "-m", "cli", "down"))
LIFE_CYCLE = ("life cycle", (*PYTEST, "tests/cluster/local"))
WITHOUT_NIGHTLY = ("-m", "not nightly")

DURATION = {"test": "half an hour", "nightly": "3 hours"}
"""On 2 cores, with the packages and images in the caches."""

Stage = tuple[str, tuple[str, ...]]


def main() -> int:
    target = "nightly" if sys.argv[1:] == ["nightly"] else "test"
    print(f"make {target} takes about {DURATION[target]} on 2 cores", flush=True)
    os.environ.setdefault("HYPOTHESIS_PROFILE", "nightly" if target == "nightly" else "ci")
    unit, process, cluster, life_cycle = (
        (name, command if target == "nightly" else (*command, *WITHOUT_NIGHTLY))
        for name, command in (UNIT, PROCESS, CLUSTER, LIFE_CYCLE)
    )
    in_ci = bool(os.environ.get("CI"))
    try:
        require(Cluster())
    except Failure as reason:
        if in_ci:
            print(f"error: the local cluster cannot start: {reason}", file=sys.stderr)
            return 1
        print(f"without the tests on the local cluster: {reason}", flush=True)
        return run(unit, process)
    # The start of the cluster mostly waits, and the unit tests need no cluster. The process tests and those on the
    # cluster run one after the other: together they need more than two cores for their time limits.
    return run(UP, parallel=unit) or run(process, cluster, *((DOWN, life_cycle) if in_ci else ()))


def run(*stages: Stage, parallel: Stage | None = None) -> int:
    """Runs the stages until one fails, and prints the time of each.

    Args:
        stages: they run one after the other.
        parallel: runs at the same time as they do, with the lowest priority. Its output is printed after theirs.

    Returns:
        The exit code of the stage that failed, or 0.
    """
    times: list[str] = []
    code = 0
    with tempfile.TemporaryFile("w+") as output:
        begun = time.monotonic()
        other = subprocess.Popen(("nice", "-n", "19", *parallel[1]), stdout=output, stderr=output) if parallel else None
        for name, command in stages:
            started = time.monotonic()
            code = subprocess.call(command)
            times.append(f"{name} {time.monotonic() - started:.0f} s")
            if code:
                break
        if parallel and other:
            code = other.wait() or code
            times.append(f"{parallel[0]} {time.monotonic() - begun:.0f} s")
            output.seek(0)
            print(output.read(), end="")
    print(f"times: {', '.join(times)}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
