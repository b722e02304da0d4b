"""Checks whether this machine can run the local cluster, and reports all problems at once.

`look` collects facts about the machine; `problems` is a pure function of them.
"""

import contextlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local import cgroups, firewall, network, processes
from local.build import MODULE, is_built
from local.cluster import Cluster
from local.failure import Failure
from local.golang import ENVIRONMENT, go_version
from local.layout import PORTS
from local.packages import missing_packages
from local.paths import HOME_VARIABLE, existing

GIB = 1024**3
DISK_TO_BUILD = 10 * GIB  # modules, compiled packages, binaries
DISK_TO_RUN = 3 * GIB  # images and the cluster's own data
MEMORY = 4 * GIB
MEMORY_OF_NODE = GIB // 2  # of each further node
MACHINES = ("x86_64", "aarch64")
RUN_LENGTH = 64  # a socket's path may have 107 characters; the kubelet's longest adds 41
REACH_LIMIT = 30  # seconds


@dataclass(frozen=True, kw_only=True)
class Disk:
    """Free space that one directory's file system has and needs, in bytes."""

    path: Path
    have: int
    need: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts about the machine. The defaults describe a machine without problems."""

    system: str = "Linux"
    machine: str = "x86_64"
    root: bool = True
    run: Path = Path("/root/.cache/web-crawl-tracing/run")
    to_build: bool = False
    go: str | None = "go1.26.0"
    go_needed: str = "1.26.0"
    modules_error: str | None = None
    missing: list[str] = field(default_factory=list)
    apt: bool = True
    disks: list[Disk] = field(default_factory=list)
    memory: int = 16 * GIB
    nodes: int = 1
    taken: Mapping[tuple[str, int], str] = field(default_factory=dict)  # (address, port) → the program that listens
    hierarchies: list[Path] = field(default_factory=lambda: [Path("/sys/fs/cgroup")])
    kernel_errors: Mapping[str, str] = field(default_factory=dict)  # feature → error
    other_kubernetes: bool = False
    routes: list[str] = field(default_factory=list)


def require(cluster: Cluster | None = None, count: int | None = None) -> None:
    """Checks whether the machine can run a cluster of `count` nodes; by default as many as the cluster has.

    Raises:
        Failure: the machine cannot run the cluster; the message lists all problems.
    """
    if reasons := problems(look(cluster or Cluster(), count)):
        raise Failure("this machine cannot run the local cluster yet:\n" + "\n".join(f"  - {item}" for item in reasons))


def problems(facts: Facts) -> list[str]:
    """The problems of a machine. Each says what is wrong and what to do."""
    if facts.system != "Linux":
        return [f"this is {facts.system}; the local cluster needs Linux. Use a Linux machine or virtual machine."]
    reasons = []
    if facts.machine not in MACHINES:
        reasons.append(f"the processor is {facts.machine}; known to work are {' and '.join(MACHINES)}.")
    if not facts.root:
        reasons.append("this needs root (it makes a bridge, mounts and firewall rules). Run it with sudo.")
    if len(str(facts.run)) > RUN_LENGTH:
        reasons.append(f"{facts.run} is too long a path for the sockets in it. Set {HOME_VARIABLE} to a shorter one.")
    if facts.missing and not facts.apt:
        reasons.append(f"packages are missing and there is no apt-get: {' '.join(facts.missing)}. Install them.")
    reasons += _build_problems(facts)
    for disk in facts.disks:
        if disk.have < disk.need:
            reasons.append(
                f"{disk.path} has {disk.have / GIB:.1f} GiB free and {disk.need / GIB:.0f} GiB are needed. Free some."
            )
    memory = MEMORY + (facts.nodes - 1) * MEMORY_OF_NODE
    if facts.memory < memory:
        reasons.append(f"the machine has {facts.memory / GIB:.1f} GiB of memory; {memory / GIB:.1f} GiB are needed.")
    owners: dict[str, list[str]] = {}
    for address, port, purpose in PORTS:
        for where in (address, "0.0.0.0", "::"):
            if owner := facts.taken.get((where, port)):
                owners.setdefault(owner, []).append(f"{port} ({purpose})")
                break
    for owner, ports in owners.items():
        reasons.append(f"port {', '.join(ports)} is taken by {owner}. End that program.")
    if not facts.hierarchies:
        reasons.append("no control groups are mounted. In a container, start it with --privileged.")
    for feature, error in facts.kernel_errors.items():
        reasons.append(f"the kernel cannot do {feature} here: {error}. In a container, start it with --privileged.")
    if facts.other_kubernetes:
        reasons.append("another Kubernetes manages this machine's firewall (chain KUBE-SERVICES). End it first.")
    if facts.routes:
        reasons.append(
            f"addresses that the cluster uses are routed elsewhere: {', '.join(facts.routes)}. End that network."
        )
    return reasons


def look(cluster: Cluster, count: int | None = None) -> Facts:
    """Collects the facts. It undoes at once what it tries."""
    system, root = platform.system(), os.geteuid() == 0
    if system != "Linux":
        return Facts(system=system)
    home, nodes = cluster.home, cluster.planned_nodes(count)
    go = go_version() if shutil.which("go") else None
    to_build = not is_built(home.bin)
    running = bool(processes.find(home.run))
    return Facts(
        machine=platform.machine(),
        root=root,
        run=home.run,
        to_build=to_build,
        go=go,
        go_needed=_go_needed(),
        modules_error=_modules_error() if to_build and go else None,
        missing=missing_packages(),
        apt=shutil.which("apt-get") is not None,
        disks=_disks(home.root, to_build and go is not None),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        nodes=len(nodes),
        taken=_listeners(home.run) if root else {},  # only root can see which of them belong to this cluster
        hierarchies=cgroups.hierarchies(),
        kernel_errors=_kernel_errors(home.root, len(nodes)) if root and not running else {},
        other_kubernetes=root and not running and not cluster.was_up() and bool(firewall.foreign_chains()),
        routes=network.foreign_routes(nodes) if shutil.which("ip") else [],
    )


def _build_problems(facts: Facts) -> list[str]:
    if not facts.to_build:
        return []
    if facts.go is None:
        return [f"Go is needed to compile Kubernetes and is not on PATH. Install Go {facts.go_needed} or newer."]
    if _numbers(facts.go) < _numbers(facts.go_needed):
        return [f"Go is {facts.go.removeprefix('go')} and {facts.go_needed} or newer is needed. Install that."]
    if facts.modules_error:
        return [f"Go modules cannot be fetched ({facts.modules_error}). Check the network and `go env GOPROXY`."]
    return []


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _go_needed() -> str:
    match = re.search(r"^go (\S+)$", (MODULE / "go.mod").read_text(), re.MULTILINE)
    return match[1] if match else "1.26"


def _modules_error() -> str | None:
    """The reason why modules cannot be fetched; None if they can, or if this machine has all of them."""
    environment = os.environ | ENVIRONMENT
    command = ["go", "list", "-deps", ".", "./pause"]
    offline = subprocess.run(command, cwd=MODULE, capture_output=True, env=environment | {"GOPROXY": "off"})
    if offline.returncode == 0:
        return None
    match = re.search(r"^\s*(k8s\.io/klog/v2) (v\S+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    assert match, "a small module that is required anyway"
    with tempfile.TemporaryDirectory() as empty:  # an empty cache, so that Go asks the proxy
        environment |= {"GOMODCACHE": empty, "GOFLAGS": "-mod=mod -modcacherw"}
        try:
            result = subprocess.run(
                ["go", "list", "-m", f"{match[1]}@{match[2]}"],
                cwd=empty,
                capture_output=True,
                text=True,
                env=environment,
                timeout=REACH_LIMIT,
            )
        except subprocess.TimeoutExpired:
            return f"no answer within {REACH_LIMIT} s"
    return None if result.returncode == 0 else " ".join(result.stderr.split())[-300:]


def _disks(root: Path, to_build: bool) -> list[Disk]:
    needs = {root: DISK_TO_RUN}
    if to_build:
        cache = subprocess.check_output(["go", "env", "GOCACHE"], text=True).strip()
        needs[Path(cache)] = DISK_TO_BUILD
    per_device: dict[int, Disk] = {}
    for path, need in needs.items():
        folder = existing(path)
        device = folder.stat().st_dev
        earlier = per_device.get(device)
        total = need + (earlier.need if earlier else 0)
        per_device[device] = Disk(path=folder, have=shutil.disk_usage(folder).free, need=total)
    return list(per_device.values())


def _kernel_errors(root: Path, nodes: int) -> dict[str, str]:
    """Tries a bridge, an overlay mount and, for several nodes, a namespace, which sandboxes often refuse."""
    errors = {}
    if nodes > 1 and (refused := _error("unshare", "--net", "true")):
        errors["network namespaces"] = refused
    name = f"probe{os.getpid() % 100000}"
    if shutil.which("ip"):
        made = _error("ip", "link", "add", name, "type", "bridge")
        if made:
            errors["bridges"] = made
        _error("ip", "link", "delete", name)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as directory:
        for part in ("lower", "upper", "work", "merged"):
            (Path(directory) / part).mkdir()
        options = f"lowerdir={directory}/lower,upperdir={directory}/upper,workdir={directory}/work"
        mounted = _error("mount", "-t", "overlay", "overlay", "-o", options, f"{directory}/merged")
        if mounted:
            errors[f"overlay mounts below {root}"] = mounted
        else:
            _error("umount", f"{directory}/merged")
    return errors


def _error(*command: str) -> str | None:
    result = subprocess.run(command, capture_output=True, text=True)
    return None if result.returncode == 0 else " ".join(result.stderr.split())


def _listeners(run: Path) -> dict[tuple[str, int], str]:
    """(address, port) → the program that listens there, without the programs of this cluster."""
    ours = {process.pid for process in processes.find(run)}
    sockets: dict[str, tuple[str, int]] = {}
    for table, width in (("tcp", 8), ("tcp6", 32)):
        try:
            lines = (Path("/proc/net") / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            address, _, port = words[1].partition(":")
            if words[3] == "0A":  # LISTEN
                sockets[words[9]] = (_address(address, width), int(port, 16))
    owners = _socket_owners()
    taken = {}
    for inode, where in sockets.items():
        pid = owners.get(inode)
        if pid not in ours:
            taken[where] = "a program that is not visible from here" if pid is None else f"{_name(pid)} (pid {pid})"
    return taken


def _address(text: str, width: int) -> str:
    """Decodes an address of the kernel, which prints 32-bit words in the machine's byte order."""
    if width == 8:
        return ".".join(str(byte) for byte in reversed(bytes.fromhex(text)))
    if int(text, 16) == 0:
        return "::"
    mapped = text[16:24].upper() == "FFFF0000"
    return _address(text[24:], 8) if mapped and int(text[:16], 16) == 0 else text


def _socket_owners() -> dict[str, int]:
    owners = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # the process has ended, or this process may not read it
            for link in (entry / "fd").iterdir():
                # If one descriptor was closed meanwhile, still read the other ones.
                with contextlib.suppress(OSError):
                    target = str(link.readlink())
                    if target.startswith("socket:["):
                        owners[target[8:-1]] = int(entry.name)
    return owners


def _name(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "comm").read_text().strip()
    except OSError:
        return "a program"
