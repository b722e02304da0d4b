"""A cluster with a home of its own, for tests that bring one up, damage it and end it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from local import cgroups, firewall, network
from local.archive import write_program_archive
from local.cluster import Cluster
from local.golang import go_build
from local.jobs import Progress
from local.namespace import read_setting
from local.paths import HOME_VARIABLE, Home

ROOT = Path(__file__).resolve().parents[2]
WORKLOADS = ROOT / "tests" / "cluster" / "local"


def machine() -> dict[str, list[str]]:
    """All that a cluster changes on a machine."""
    rules = []
    for family in firewall.FAMILIES:
        saved = subprocess.check_output([f"{family}-save"], text=True).splitlines()
        # Without counters; a table that has only become visible, empty and letting everything through, is no change.
        lines = [line.split(" [")[0] for line in saved if line.startswith((":", "-A"))]
        rules += [f"{family} {line}" for line in lines if not (line.startswith(":") and line.endswith(" ACCEPT"))]
    return {
        "links": sorted(link["ifname"] for link in json.loads(subprocess.check_output(["ip", "-j", "link"]))),
        "firewall": sorted(rules),
        "routes": sorted(subprocess.check_output(["ip", "route"], text=True).splitlines()),
        "settings": [f"{name}={read_setting(name)}" for name in network.SETTINGS],
        "groups": sorted(str(group) for h in cgroups.hierarchies() for group in h.iterdir() if group.is_dir()),
        "mounts": [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()],
        "leases": sorted(str(lease) for lease in network.CNI_RESULTS.glob("*")),
    }


def load_probe(cluster: Cluster, progress: Progress, home: Home) -> None:
    go_build(progress, WORKLOADS / "probe", home.root / "probe")
    archive = home.root / "probe.tar"
    write_program_archive(archive, "localhost/probe:1", home.root / "probe")
    for containerd in cluster.containerds().values():
        containerd.load(progress, archive)


def kubectl(home: Home, *arguments: str) -> None:
    environment = os.environ | {HOME_VARIABLE: str(home.root)}
    subprocess.run(
        [sys.executable, "-m", "cli", "cluster", "kubectl", *arguments], cwd=ROOT, env=environment, check=True
    )
