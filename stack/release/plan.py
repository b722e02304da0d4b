"""What a rollout will do: its steps, and the pods of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import kubernetes

from contracts import endpoints
from stack.components.services.settings import Release, Split
from stack.components.services.tracing import Tracing
from stack.components.services.versions import NAMES, Service
from stack.errors import DeployError
from stack.settings import Settings
from stack.settings.rollout import Stage

_NEAR: Final = 0.1
"""A share this near to what was asked for, as a part of it, is worth no further pod."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """What is rolled out: image and tracing of the services."""

    image: str
    tracing: Tracing

    def as_json(self) -> dict[str, Any]:
        """For the journal."""
        return {"image": self.image, "tracing": self.tracing.model_dump(by_alias=True)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Version":
        """From the journal."""
        return cls(image=document["image"], tracing=Tracing.model_validate(document["tracing"]))

    def differences(self, other: "Version") -> list[str]:
        """What differs in `other`, a line each."""
        lines = [f"image: {self.image} → {other.image}"] if self.image != other.image else []
        before, after = self.tracing.model_dump(by_alias=True), other.tracing.model_dump(by_alias=True)
        return lines + [
            f"tracing.{key}: {before[key]!r} → {after[key]!r}" for key in before if before[key] != after[key]
        ]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A stage, with the pods that make its share."""

    number: int
    """0 is off: all pods are of the version before."""
    stage: Stage | None
    """None for off."""
    splits: Mapping[Service, Split]

    @property
    def share(self) -> float:
        """Of the gateway's pods; a share of pods is one of requests, since a Service gives each as many."""
        split = self.splits["gateway"]
        return split.canary / (split.baseline + split.canary)

    @property
    def title(self) -> str:
        """For people."""
        return f"stage {self.number}, {self.share:.0%}" if self.stage else "off"

    def release(self, before: Version) -> Release:
        """The setting that makes the program declare this step."""
        return Release(
            image=before.image,
            tracing=before.tracing,
            sampling_rate=self.stage.sampling_rate if self.stage else None,
            gateway=self.splits["gateway"],
            task_manager=self.splits["task_manager"],
            crawler=self.splits["crawler"],
        )


def split(replicas: int, share: float, most: int) -> Split:
    """The fewest pods, at least `replicas` of them and `most` at most, whose split comes near to a share.

    >>> split(3, 0.25, 20)
    Split(baseline=3, canary=1)
    """
    if share == 1:
        return Split(baseline=0, canary=replicas)
    best: Split | None = None
    least = Fraction(1)
    for total in range(max(replicas, 2), max(most, replicas + 1) + 1):
        canary = min(max(1, round(total * share)), total - 1)
        off = abs(Fraction(canary, total) - Fraction(share))
        if best is None or off < least:
            best, least = Split(baseline=total - canary, canary=canary), off
        if least <= Fraction(_NEAR) * Fraction(share):
            break
    assert best is not None
    return best


def steps(settings: Settings) -> tuple[Step, ...]:
    """Off, and then every stage."""
    replicas: dict[Service, int] = {name: getattr(settings.services, name).replicas for name in NAMES}
    off = {name: Split(baseline=count, canary=0) for name, count in replicas.items()}
    return (
        Step(number=0, stage=None, splits=off),
        *(
            Step(
                number=number,
                stage=stage,
                splits={name: split(count, stage.share, settings.rollout.max_pods) for name, count in replicas.items()},
            )
            for number, stage in enumerate(settings.rollout.stages, 1)
        ),
    )


def between(one: Step, other: Step) -> Mapping[Service, Split]:
    """Pods on the way from one step to another: as many of each version as the larger of both, so none is missed."""
    return {
        name: Split(
            baseline=max(one.splits[name].baseline, other.splits[name].baseline),
            canary=max(one.splits[name].canary, other.splits[name].canary),
        )
        for name in one.splits
    }


def wanted(settings: Settings) -> Version:
    """What the settings say."""
    return Version(image=settings.images.service, tracing=settings.tracing)


def running(client: kubernetes.client.ApiClient, namespace: str) -> Version | None:
    """What the cluster runs for all traffic, or beside a canary; None if nothing runs yet.

    Raises:
        DeployError: what runs was not deployed by this program.
    """
    try:
        found = kubernetes.client.AppsV1Api(client).read_namespaced_deployment(
            endpoints.GATEWAY, namespace, _request_timeout=30
        )
    except kubernetes.client.ApiException as error:
        if error.status == 404:
            return None
        raise DeployError(f"deployment {namespace}/{endpoints.GATEWAY} cannot be read: {error.reason}") from None
    container = found.spec.template.spec.containers[0]
    variables = {variable.name: variable.value or "" for variable in container.env or []}  # "" comes as none
    try:
        tracing = Tracing.from_env(variables)
    except ValueError as error:  # SettingsError, ValidationError
        raise DeployError(
            f"how deployment {namespace}/{endpoints.GATEWAY} traces cannot be read from its environment: {error}"
        ) from None
    return Version(image=container.image, tracing=tracing)
