"""Starts and finds background processes, which are recognised by their environment.

Each component starts with variables that name its cluster and component, and its children (a pod's shims, for example)
inherit them. A pid file could be stale, could name another process after a reboot, or could be missing, if this program
was killed between the start of the process and the write of the file.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CLUSTER = "WEB_CRAWL_TRACING_CLUSTER"  # the run directory
COMPONENT = "WEB_CRAWL_TRACING_COMPONENT"
FINGERPRINT = "WEB_CRAWL_TRACING_FINGERPRINT"  # of the files and flags with which the component started


@dataclass(frozen=True)
class Process:
    """A process of the cluster. `leads` is true for a component, and false for its children."""

    pid: int
    component: str
    fingerprint: str
    leads: bool


def find(run: Path, proc: Path = Path("/proc")) -> list[Process]:
    """The running processes of the cluster whose state is in `run`."""
    processes = []
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        environment = _environment(entry)
        if environment.get(CLUSTER) == str(run):
            processes.append(
                Process(
                    pid=int(entry.name),
                    component=environment.get(COMPONENT, ""),
                    fingerprint=environment.get(FINGERPRINT, ""),
                    leads=_leads_session(entry),
                )
            )
    return processes


def start(run: Path, component: str, fingerprint: str, command: Sequence[str], log: Path) -> None:
    """Starts a component in a session of its own, so that it outlives this process and its terminal."""
    log.parent.mkdir(parents=True, exist_ok=True)
    ours = {CLUSTER: str(run), COMPONENT: component, FINGERPRINT: fingerprint}
    with log.open("ab") as output:
        # --fork: the component is not a child of this process, so it cannot become its zombie.
        subprocess.run(
            ["setsid", "--fork", *command],
            cwd=run,
            env=clean_environment(os.environ) | ours,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=True,
        )


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a component inherits, so that it behaves the same from every shell."""
    # containerd pulls images, so it needs the variables of a proxy.
    keep = ("PATH", "HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
    return {name: value for name, value in environment.items() if name in keep or name.startswith("SSL_CERT_")}


def stop(
    run: Path,
    components: Iterable[str] | None = None,
    *,
    leaders: bool = False,
    grace: float = 0.0,
    limit: float = 10.0,
) -> list[Process]:
    """Ends components and waits until they have ended.

    Args:
        run: directory of the cluster's state.
        components: their names; all of the cluster's by default.
        leaders: whether their children keep running.
        grace: seconds between SIGTERM and SIGKILL; with 0 there is no SIGTERM.
        limit: seconds to wait after SIGKILL.

    Returns:
        The processes that still run.
    """
    named = None if components is None else set(components)
    began = time.monotonic()
    sent: dict[int, signal.Signals] = {}
    while True:
        alive = [
            process
            for process in find(run)
            if (named is None or process.component in named) and (process.leads or not leaders)
        ]
        elapsed = time.monotonic() - began
        if not alive or elapsed > grace + limit:
            return alive
        wish = signal.SIGTERM if elapsed < grace else signal.SIGKILL
        for process in alive:
            if sent.get(process.pid) is not wish:
                _signal(run, process, wish)
                sent[process.pid] = wish
        time.sleep(0.02)


def _signal(run: Path, process: Process, wish: signal.Signals) -> None:
    """Sends a signal through a pidfd, and checks the process again, since another process may have got its number."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if _environment(Path("/proc") / str(process.pid)).get(CLUSTER) == str(run):
            signal.pidfd_send_signal(handle, wish)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def _environment(entry: Path) -> dict[str, str]:
    try:
        raw = (entry / "environ").read_bytes()
    except OSError:  # the process has ended, or this process may not read it
        return {}
    pairs = (part.partition(b"=") for part in raw.split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs if name}


def _leads_session(entry: Path) -> bool:
    try:
        # pid (name) state parent group session …; the name may contain spaces and parentheses
        session = (entry / "stat").read_text().rpartition(")")[2].split()[3]
    except OSError:
        return False
    return session == entry.name
