"""The lock that lets one rollout of a stack run at a time: a Lease of the cluster."""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import kubernetes

from contracts import metadata
from contracts.errors import UserError
from stack.errors import DeployError
from stack.release.journal import NAME

LEASE_SECONDS: Final = 30
_RENEW_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 10


class RolloutError(UserError):
    """The rollout cannot go on; the message says why and what to do."""


class Lock:
    """A Lease that is renewed while it is held; that of a holder who was killed is free after half a minute.

    Where the holder was a process of this machine that is there no more, it is free at once.
    """

    def __init__(self, client: kubernetes.client.ApiClient, namespace: str) -> None:
        self._leases = kubernetes.client.CoordinationV1Api(client)
        self._namespace = namespace
        self._me = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._over = threading.Event()
        self._lost = threading.Event()

    @contextlib.contextmanager
    def held(self) -> Iterator["Lock"]:
        """Holds it while the context is open.

        Raises:
            RolloutError: another rollout holds it.
        """
        self._take()
        thread = threading.Thread(target=self._renew, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()
            with contextlib.suppress(kubernetes.client.ApiException):
                if self._read().spec.holder_identity == self._me:
                    self._leases.delete_namespaced_lease(NAME, self._namespace, _request_timeout=_ANSWER_SECONDS)

    def check(self) -> None:
        """Raises RolloutError if the lock was lost meanwhile: another may be moving the same pods."""
        if self._lost.is_set():
            raise RolloutError("the lock of the rollout was lost; run it again, it goes on from where it is")

    def _read(self) -> Any:
        return self._leases.read_namespaced_lease(NAME, self._namespace, _request_timeout=_ANSWER_SECONDS)

    def _body(self, version: str | None) -> dict[str, Any]:
        return {
            "metadata": {
                "name": NAME,
                "labels": metadata.labels(NAME, "rollout"),
                # The API server refuses a change of what has changed meanwhile: two cannot take it at once.
                **({"resourceVersion": version} if version else {}),
            },
            "spec": {
                "holderIdentity": self._me,
                "leaseDurationSeconds": LEASE_SECONDS,
                "renewTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            },
        }

    def _take(self) -> None:
        try:
            found = self._read()
        except kubernetes.client.ApiException as error:
            if error.status != 404:
                raise DeployError(
                    f"the rollout's lock {self._namespace}/{NAME} cannot be read: {error.reason}"
                ) from None
            found = None
        if found is not None and not _free(found):
            raise RolloutError(
                f"another rollout of this stack runs: {found.spec.holder_identity}, heard of at "
                f"{found.spec.renew_time:%H:%M:%S} UTC. If it was killed, its lock is free {LEASE_SECONDS} s after that"
            )
        try:
            if found is None:
                self._leases.create_namespaced_lease(
                    self._namespace, self._body(None), _request_timeout=_ANSWER_SECONDS
                )
            else:
                self._replace(found.metadata.resource_version)
        except kubernetes.client.ApiException as error:
            if error.status == 409:
                raise RolloutError("another rollout of this stack has just begun") from None
            raise

    def _replace(self, version: str | None) -> None:
        self._leases.replace_namespaced_lease(
            NAME, self._namespace, self._body(version), _request_timeout=_ANSWER_SECONDS
        )

    def _renew(self) -> None:
        failed_since: float | None = None  # by the monotonic clock: the wall clock may be set meanwhile
        while not self._over.wait(_RENEW_SECONDS):
            try:
                found = self._read()
                if found.spec.holder_identity != self._me:
                    self._lost.set()
                    return
                self._replace(found.metadata.resource_version)
                failed_since = None
            except Exception:  # whatever the API server's trouble is, the lease runs out at its time
                now = time.monotonic()
                failed_since = now if failed_since is None else failed_since
                if now - failed_since > LEASE_SECONDS - 2 * _RENEW_SECONDS:
                    self._lost.set()
                    return


def _free(lease: Any) -> bool:
    age = (datetime.now(UTC) - lease.spec.renew_time).total_seconds()
    if age > (lease.spec.lease_duration_seconds or LEASE_SECONDS):
        return True
    host, _, rest = str(lease.spec.holder_identity).partition("/")
    process = rest.partition("/")[0]
    return host == socket.gethostname() and process.isdigit() and not Path(f"/proc/{process}").exists()
