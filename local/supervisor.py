"""Starts and stops the cluster's components, and waits for what they do."""

import time
from collections.abc import Callable, Iterable, Sequence

from local import processes
from local.components import Component
from local.failure import Failure
from local.jobs import Progress, quote
from local.namespace import MACHINE, Namespace
from local.paths import Home


class Supervisor:
    """The components that run from one home."""

    def __init__(self, home: Home) -> None:
        self._run = home.run

    def running(self) -> dict[str, str]:
        """Name → fingerprint of each component that runs."""
        return {process.component: process.fingerprint for process in processes.find(self._run) if process.leads}

    def state(self, component: Component, running: dict[str, str]) -> str:
        """The state of a component: "running", "dead", or "outdated" if it started with other files or flags."""
        if component.name not in running:
            return "dead"
        return "running" if running[component.name] == component.fingerprint() else "outdated"

    def start(self, component: Component, namespace: Namespace = MACHINE) -> None:
        """Starts a component in a network namespace, unless it runs."""
        if component.name not in self.running():
            log = self._run / "logs" / f"{component.name}.log"
            command = namespace.enter(*component.command)
            processes.start(self._run, component.name, component.fingerprint(), command, log)

    def stop_outdated(self, progress: Progress, components: Iterable[Component]) -> None:
        """Stops the outdated components alone: pods keep running without containerd and kubelet."""
        running = self.running()
        outdated = [component.name for component in components if self.state(component, running) == "outdated"]
        if outdated:
            progress.note(f"restarting {', '.join(outdated)}, whose files or flags have changed")
            processes.stop(self._run, outdated, leaders=True, grace=5)

    def wait(
        self, progress: Progress, description: str, is_ready: Callable[[], bool], needs: Sequence[str], timeout: float
    ) -> None:
        """Waits for a condition; fails at once if one of the components that it needs has ended.

        The error message quotes the log of the first component.
        """
        last_check = time.monotonic()

        def ready_or_dead() -> bool:
            nonlocal last_check
            if is_ready():
                return True
            if time.monotonic() - last_check > 1:
                self.check_alive(needs)
                last_check = time.monotonic()
            return False

        log = self._run / "logs" / f"{needs[0]}.log"
        progress.wait(description, ready_or_dead, timeout=timeout, log=log)

    def check_alive(self, names: Iterable[str]) -> None:
        """Fails if one of the components does not run.

        Raises:
            Failure: quotes the log of the component.
        """
        running = self.running()
        for name in names:
            if name not in running:
                raise Failure(f"{name} has exited.{quote(self._run / 'logs' / f'{name}.log')}")
