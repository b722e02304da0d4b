"""`make test` runs all tests, including those on the local cluster if the machine can run one.

If the cluster cannot start, CI fails. Elsewhere its tests are left out, and the reason is printed.
"""

import os
import subprocess
import sys

from local.cluster import Cluster
from local.failure import Failure
from local.preflight import require

PYTEST = (sys.executable, "-m", "pytest")
# Most tests wait more than they compute, so two at a time; a file's tests stay together, since they share its fixtures.
WITHOUT_CLUSTER = (*PYTEST, "-m", "not cluster", "--numprocesses=2", "--dist=loadfile")
ON_CLUSTER = (*PYTEST, "-m", "cluster")


def main() -> int:
    in_ci = bool(os.environ.get("CI"))
    try:
        require(Cluster())
    except Failure as reason:
        if in_ci:
            print(f"error: the local cluster cannot start: {reason}", file=sys.stderr)
            return 1
        print(f"without the tests on the local cluster: {reason}", flush=True)
        return subprocess.call(WITHOUT_CLUSTER)
    for command in (
        (sys.executable, "-m", "cli", "up"),
        WITHOUT_CLUSTER,
        # With the cluster up the tests of its life cycle skip: they bring up and end one of their own.
        ON_CLUSTER,
        *(((sys.executable, "-m", "cli", "down"), (*PYTEST, "tests/cluster/local/test_lifecycle.py")) if in_ci else ()),
    ):
        if code := subprocess.call(command):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
