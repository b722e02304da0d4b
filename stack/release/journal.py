"""The progress of a rollout, stored in a ConfigMap of the cluster.

The rollout writes the journal before each move, so that the next run continues where an interrupted one ended.
"""

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import kubernetes

from contracts import metadata
from stack.kubernetes.keys import ObjectKey
from stack.kubernetes.objects import read_object
from stack.release.plan import Version

NAME: Final = "rollout"
ROLLOUT_OBJECTS: Final = frozenset(
    {ObjectKey("v1", "ConfigMap", NAME), ObjectKey("coordination.k8s.io/v1", "Lease", NAME)}
)
"""Journal and lock of a rollout. They are the stack's, and the program does not declare them."""
_ANSWER_SECONDS: Final = 10


class Phase(StrEnum):
    """The phase of a rollout. A healthy stack has no journal."""

    PROGRESSING = "Progressing"
    """On the way to a stage, or at it."""
    PROMOTING = "Promoting"
    """Every stage was successful; the canary becomes the stable version."""
    ROLLING_BACK = "RollingBack"
    """A stage was not successful; the pods move back."""
    PAUSED = "Paused"
    """Back at a stage that was successful again: the next run tries the next stage once more. Or held at a stage that
    is undecided: the next run continues there."""
    DEGRADED = "Degraded"
    """Back at the stable version alone."""


_FORMER_NAMES: Final = {
    "before": "stable",
    "after": "canary",
    "good": "passed",
    "moving": Phase.PROGRESSING,
    "soaking": Phase.PROGRESSING,
    "finishing": Phase.PROMOTING,
    "returning": Phase.ROLLING_BACK,
    "held": Phase.PAUSED,
    "failed": Phase.DEGRADED,
}
"""Names that earlier releases wrote. A running cluster may still have a journal of one of them."""
_FORMER_FIELDS: Final = ("beside", "baseline_window")
"""Fields that earlier releases wrote, and that have no meaning any more."""


@dataclass(frozen=True, kw_only=True)
class Journal:
    """A rollout that is under way, or that was rolled back."""

    stable: Version
    canary: Version
    stage: int
    """Number of the step that the rollout is at or on the way to."""
    passed: int
    """Number of the last successful step."""
    phase: Phase
    since: float
    """When this phase began, in s since the epoch."""
    reason: str = ""
    """Why the rollout was rolled back, or is held."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """The evidence about the canary up to the last step; see `stack.rollout.judge.Judge.dump`."""

    @property
    def is_held(self) -> bool:
        """Whether it waits at a stage that is undecided."""
        return self.phase is Phase.PAUSED and self.stage > self.passed

    @property
    def is_under_way(self) -> bool:
        """Whether the cluster may have pods of both versions."""
        return self.phase is not Phase.DEGRADED

    def enter(self, phase: Phase, **changes: Any) -> "Journal":
        """The same rollout in another phase, from now on."""
        return replace(self, phase=phase, since=time.time(), **changes)

    def dump(self) -> str:
        """The journal as JSON."""
        versions = {"stable": self.stable.as_json(), "canary": self.canary.as_json()}
        return json.dumps(asdict(self) | versions, indent=1)

    @classmethod
    def load(cls, text: str) -> "Journal":
        """Reads JSON that this or an earlier release wrote."""
        fields = {_FORMER_NAMES.get(name, name): value for name, value in json.loads(text).items()}
        for name in _FORMER_FIELDS:
            fields.pop(name, None)
        return cls(
            **fields
            | {
                "stable": Version.from_json(fields["stable"]),
                "canary": Version.from_json(fields["canary"]),
                "phase": Phase(_FORMER_NAMES.get(fields["phase"], fields["phase"])),
            }
        )


@dataclass(frozen=True, kw_only=True)
class JournalStore:
    """The ConfigMap with the journal of a namespace."""

    client: kubernetes.client.ApiClient
    namespace: str

    def read(self) -> Journal | None:
        """Returns the journal; None if no rollout is under way and none was rolled back.

        Raises:
            DeployError: the ConfigMap cannot be read.
        """
        config_map = read_object(self.client, self.namespace, ObjectKey("v1", "ConfigMap", NAME))
        return Journal.load(config_map["data"]["journal"]) if config_map else None

    def write(self, journal: Journal) -> None:
        """Stores the journal.

        Raises:
            ApiException: it cannot be stored. The rollout must not move any pod then.
        """
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

    def delete(self) -> None:
        """Deletes the journal: the rollout is over."""
        with contextlib.suppress(kubernetes.client.ApiException):
            kubernetes.client.CoreV1Api(self.client).delete_namespaced_config_map(
                NAME, self.namespace, _request_timeout=_ANSWER_SECONDS
            )
