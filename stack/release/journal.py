"""Where a rollout is, kept in a ConfigMap of the cluster.

The rollout writes the journal before each move, so that the next run finds where a killed one ended.
"""

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import kubernetes

from contracts import metadata
from stack.kubernetes.keys import ObjectKey
from stack.kubernetes.objects import read_object
from stack.release.plan import Version

NAME: Final = "rollout"
_ANSWER_SECONDS: Final = 10

Phase = Literal["moving", "soaking", "returning", "finishing", "held", "failed"]
"""On the way to a stage; at it; on the way back; past the last one; back at a good stage; back at none."""


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

    def at(self, phase: Phase, since: float, **changes: Any) -> "Journal":
        """This one in another phase."""
        return replace(self, phase=phase, since=since, **changes)

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self) | {"before": self.before.as_json(), "after": self.after.as_json()}, indent=1)

    @classmethod
    def load(cls, text: str) -> "Journal":
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
        found = read_object(self.client, self.namespace, ObjectKey("v1", "ConfigMap", NAME))
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
