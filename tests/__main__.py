"""`make test`: the tests, in stages; those on the real local cluster too, if this machine can run one.

`make nightly` is the same with thousands of examples for each property, and with the tests on the cluster that take
minutes each. In CI a cluster that cannot start fails the run. Elsewhere its tests are left out, and the reason is
printed.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

from local.cluster import Cluster
from local.failure import Failure
from local.preflight import require
from tests.support.background import Background, Stage, low_priority

PYTEST: Final = (sys.executable, "-m", "pytest")
SLOWEST: Final = ("--durations=20", "--durations-min=10")
TYPES: Final = ("types", (sys.executable, "-m", "mypy"))
UNIT: Final = ("unit", (*PYTEST, "tests/unit", "--numprocesses=2", "--dist=worksteal", "-p", "no:schemathesis"))
COMPUTING: Final = (
    "tests/process/checks/verdicts",
    "tests/process/dashboards",
    "tests/process/docs",
    "tests/process/lean_tracing/native",
    "tests/process/lean_tracing/test_distribution.py",
)
"""Process tests that compute, and have no time limits but generous ones of whole programs."""
# A file's tests stay together, since they share its fixtures; `tests/process/conftest.py` decides on the order.
BY_FILE: Final = ("--dist=loadfile", "--no-loadscope-reorder", *SLOWEST)
UNTIMED: Final = ("untimed", (*PYTEST, *COMPUTING, "--numprocesses=2", *BY_FILE))
# These tests wait more than they compute, so there are more workers than cores.
PROCESS: Final = ("process", (*PYTEST, "tests/process", *(f"--ignore={path}" for path in COMPUTING), "-n6", *BY_FILE))
UP: Final = ("up", (sys.executable, "-m", "cli", "up", "--cluster", "compiled"))
# With the cluster up the tests of its life cycle skip: they bring up and end one of their own.
CLUSTER: Final = ("cluster", (*PYTEST, "tests/cluster", *SLOWEST))
DOWN: Final = ("down", (sys.executable, "-m", "cli", "down"))
LIFE_CYCLE: Final = ("life cycle", (*PYTEST, "tests/cluster/local"))
WITHOUT_NIGHTLY: Final = ("-m", "not nightly")

DURATION: Final = {"test": "15 minutes", "nightly": "3 hours"}
"""On 2 cores, with the packages and images in the caches."""


def main() -> int:
    target = "nightly" if sys.argv[1:] == ["nightly"] else "test"
    print(f"make {target} takes about {DURATION[target]} on 2 cores", flush=True)
    os.environ.setdefault("HYPOTHESIS_PROFILE", "nightly" if target == "nightly" else "ci")
    unit, untimed, process, cluster, life_cycle = (
        (name, command if target == "nightly" else (*command, *WITHOUT_NIGHTLY))
        for name, command in (UNIT, UNTIMED, PROCESS, CLUSTER, LIFE_CYCLE)
    )
    in_ci = bool(os.environ.get("CI"))
    try:
        require(Cluster())
    except Failure as reason:
        if in_ci:
            print(f"error: the local cluster cannot start: {reason}", file=sys.stderr)
            return 1
        print(f"without the tests on the local cluster: {reason}", flush=True)
        return run(TYPES, unit, untimed, process)
    # The process tests with time limits need both cores: in CI they follow when the cluster is down.
    down = (DOWN, life_cycle) if in_ci else ()
    if target == "nightly":
        return run(TYPES, unit, UP, cluster, *down, untimed, process)
    # Tests on a cluster mostly wait, so others run at the same time.
    return run(UP, cluster, *down, process, background=(TYPES, unit, untimed))


def run(*stages: Stage, background: Sequence[Stage] = ()) -> int:
    """Runs the stages until one fails, and prints the time of each.

    Args:
        stages: they run one after the other.
        background: these run one after the other at the same time, with a low priority. Their output is printed
            at the end.

    Returns:
        The exit code of the stage that failed, or 0.
    """
    times: list[str] = []
    code = 0
    with low_priority() if background else contextlib.nullcontext(()) as prefix:
        others = Background(background, prefix)
        others.start()
        for name, command in stages:
            started = time.monotonic()
            code = subprocess.call(command)
            times.append(f"{name} {time.monotonic() - started:.0f} s")
            if code or others.code:
                break
        code = others.finish(early=bool(code)) or code
    print(f"times: {', '.join([*times, *others.times])}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
