"""Where a rollout is, kept in the cluster so that whoever runs it next goes on; and the lock that lets one at a time.

The journal is written before each move, so that a rollout that was killed is found in the middle of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import kubernetes

from contracts import metadata
from stack.kubernetes.apply import DeployError, read
from stack.rollout.plan import Version

NAME: Final = "rollout"
LEASE_SECONDS: Final = 30
_RENEW_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 10

Phase = Literal["moving", "soaking", "returning", "finishing", "held", "failed"]
"""On the way to a stage; at it; on the way back; past the last one; back at a good stage; back at none."""


class RolloutError(Exception):
    """The rollout cannot go on; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Journal:
    """A rollout that is under way, or that failed."""

    before: Version
    after: Version
    stage: int
    """Number of the step that it is at or on the way to."""
    good: int
    """Number of the last step whose gate was passed."""
    phase: Phase
    since: float
    """When this phase began, in s since the epoch."""
    beside: tuple[float, float]
    """From when until when the version before was looked at last; a stage without pods of it is compared with that."""
    reason: str = ""
    """Why it returned."""

    @property
    def under_way(self) -> bool:
        """Whether pods of both versions may be there."""
        return self.phase != "failed"

    def at(self, phase: Phase, since: float, **changes: Any) -> Journal:
        """This one in another phase."""
        return replace(self, phase=phase, since=since, **changes)

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self) | {"before": self.before.as_json(), "after": self.after.as_json()}, indent=1)

    @classmethod
    def load(cls, text: str) -> Journal:
        """From JSON."""
        document = json.loads(text)
        versions = {key: Version.from_json(document[key]) for key in ("before", "after")}
        return cls(**(document | versions | {"beside": tuple(document["beside"])}))


@dataclass(frozen=True, kw_only=True)
class Store:
    """The journal of a namespace."""

    client: kubernetes.client.ApiClient
    namespace: str

    def read(self) -> Journal | None:
        """None where no rollout is under way and none has failed.

        Raises:
            DeployError: it cannot be read.
        """
        found = read(self.client, self.namespace, ("v1", "ConfigMap", NAME))
        return Journal.load(found["data"]["journal"]) if found else None

    def write(self, journal: Journal) -> None:
        """Raises ApiException where it cannot be written: nothing may be moved then."""
        core = kubernetes.client.CoreV1Api(self.client)
        body = {
            "metadata": {"name": NAME, "labels": metadata.labels(NAME, "rollout")},
            "data": {"journal": journal.dump()},
        }
        try:
            core.replace_namespaced_config_map(NAME, self.namespace, body, _request_timeout=_ANSWER_SECONDS)
        except kubernetes.client.ApiException as error:
            if error.status != 404:
                raise
            core.create_namespaced_config_map(self.namespace, body, _request_timeout=_ANSWER_SECONDS)

    def forget(self) -> None:
        """The rollout is over."""
        with contextlib.suppress(kubernetes.client.ApiException):
            kubernetes.client.CoreV1Api(self.client).delete_namespaced_config_map(
                NAME, self.namespace, _request_timeout=_ANSWER_SECONDS
            )


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
    def held(self) -> Iterator[Lock]:
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
