"""Background processes that are recognised by their environment, not by a file.

Every component is started with variables that say which cluster and component it belongs to, and its children (a pod's
shims, for one) inherit them. So there is no pid file that could be stale, name a stranger after a reboot, or be missing
because we were killed between starting a process and writing it down.
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
FINGERPRINT = "WEB_CRAWL_TRACING_FINGERPRINT"  # of what the component was started with


@dataclass(frozen=True)
class Process:
    """A process of ours. `leads` tells a component itself from the children that inherited its environment."""

    pid: int
    component: str
    fingerprint: str
    leads: bool


def find(run: Path, proc: Path = Path("/proc")) -> list[Process]:
    """Every living process of the cluster whose state is in `run`."""
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
    """Starts a component in a session of its own, so that it outlives us and our terminal."""
    log.parent.mkdir(parents=True, exist_ok=True)
    ours = {CLUSTER: str(run), COMPONENT: component, FINGERPRINT: fingerprint}
    with log.open("ab") as output:
        # --fork: the component is not our child, so it cannot become our zombie.
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
    """What a component may see of our environment: nothing that makes it behave differently from shell to shell."""
    # containerd pulls images, so it needs to know of a proxy; everything else inherits only the search path.
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
    """Ends the named components (all of the cluster's by default) and waits until they are gone.

    Their children end with them unless `leaders` is set. `grace` is how many seconds they have after SIGTERM until
    SIGKILL. Returns what is still there `limit` seconds after that.
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
    """Through a pidfd, looking again after opening it: the number cannot have passed to a stranger in between."""
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
    except OSError:  # gone meanwhile, or not ours to read
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
