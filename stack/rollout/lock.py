"""A Lease of the cluster: one rollout of a stack runs at a time."""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import kubernetes

from contracts import metadata
from stack.errors import DeployError
from stack.processes import is_running
from stack.release.journal import NAME
from stack.rollout.errors import RolloutError

LEASE_SECONDS: Final = 30
_RENEW_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 10


class Lock:
    """A Lease that is renewed while a rollout holds it.

    If the holder is killed, the lock is free half a minute later. If the holder was a process of this machine that has
    ended, the lock is free at once.
    """

    def __init__(self, client: kubernetes.client.ApiClient, namespace: str) -> None:
        self._leases = kubernetes.client.CoordinationV1Api(client)
        self._namespace = namespace
        self._identity = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._released = threading.Event()
        self._lost = threading.Event()

    @contextlib.contextmanager
    def hold(self) -> Iterator["Lock"]:
        """Holds the lock while the context is open.

        Raises:
            RolloutError: another rollout holds it.
        """
        self._acquire()
        thread = threading.Thread(target=self._renew, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._released.set()
            thread.join()
            with contextlib.suppress(kubernetes.client.ApiException):
                if self._read().spec.holder_identity == self._identity:
                    self._leases.delete_namespaced_lease(NAME, self._namespace, _request_timeout=_ANSWER_SECONDS)

    def require(self) -> None:
        """Checks that the lock is still held.

        Raises:
            RolloutError: it was lost, so another rollout may be moving the same pods.
        """
        if self._lost.is_set():
            raise RolloutError("the rollout lost its lock. Run the same command again to continue from here")

    def _read(self) -> Any:
        return self._leases.read_namespaced_lease(NAME, self._namespace, _request_timeout=_ANSWER_SECONDS)

    def _body(self, version: str | None) -> dict[str, Any]:
        return {
            "metadata": {
                "name": NAME,
                "labels": metadata.labels(NAME, "rollout"),
                # The API server refuses to replace an object that has changed meanwhile, so two rollouts cannot both
                # take the lock.
                **({"resourceVersion": version} if version else {}),
            },
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": LEASE_SECONDS,
                "renewTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            },
        }

    def _acquire(self) -> None:
        try:
            lease = self._read()
        except kubernetes.client.ApiException as error:
            if error.status != 404:
                raise DeployError(
                    f"the rollout's lock {self._namespace}/{NAME} cannot be read: {error.reason}"
                ) from None
            lease = None
        if lease is not None and not _is_free(lease):
            raise RolloutError(
                f"another rollout of this stack runs: {lease.spec.holder_identity}, which last renewed its lock at "
                f"{lease.spec.renew_time:%H:%M:%S} UTC. If it was killed, its lock is free {LEASE_SECONDS} s after that"
            )
        try:
            if lease is None:
                self._leases.create_namespaced_lease(
                    self._namespace, self._body(None), _request_timeout=_ANSWER_SECONDS
                )
            else:
                self._replace(lease.metadata.resource_version)
        except kubernetes.client.ApiException as error:
            if error.status == 409:
                raise RolloutError("another rollout of this stack has just started") from None
            raise

    def _replace(self, version: str | None) -> None:
        self._leases.replace_namespaced_lease(
            NAME, self._namespace, self._body(version), _request_timeout=_ANSWER_SECONDS
        )

    def _renew(self) -> None:
        failing_since: float | None = None  # by the monotonic clock, since the wall clock may be set meanwhile
        while not self._released.wait(_RENEW_SECONDS):
            try:
                lease = self._read()
                if lease.spec.holder_identity != self._identity:
                    self._lost.set()
                    return
                self._replace(lease.metadata.resource_version)
                failing_since = None
            except Exception:  # any problem of the API server: the lease expires at its time
                now = time.monotonic()
                failing_since = now if failing_since is None else failing_since
                if now - failing_since > LEASE_SECONDS - 2 * _RENEW_SECONDS:
                    self._lost.set()
                    return


def _is_free(lease: Any) -> bool:
    age = (datetime.now(UTC) - lease.spec.renew_time).total_seconds()
    if age > (lease.spec.lease_duration_seconds or LEASE_SECONDS):
        return True
    host, _, rest = str(lease.spec.holder_identity).partition("/")
    process = rest.partition("/")[0]
    return host == socket.gethostname() and process.isdigit() and not is_running(int(process))
