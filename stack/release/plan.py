"""The steps of a rollout, and the pods of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import kubernetes

from contracts.metadata import Track
from contracts.services import GATEWAY, PACKAGES
from stack.components.services.rollout import Stage
from stack.components.services.settings import Release, Split
from stack.components.services.tracing import Tracing
from stack.errors import DeployError
from stack.settings import Settings

_TOLERANCE: Final = 0.1
"""A share of pods may differ by this part of the requested share; a smaller difference is not worth another pod."""
BASELINES: Final = 3
"""Fresh pods of the stable version for each canary, if there are as many. With one, twice the failures are noticed half
as soon; a warm pod in place of the fourth gains little."""
_LAST_CANARIES: Final = 3
"""Pods of the new version, at least, next to the last one of the stable version."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """The part of the services that a rollout changes: their image and their tracing settings."""

    image: str
    tracing: Tracing

    def as_json(self) -> dict[str, Any]:
        """The form in the journal."""
        return {"image": self.image, "tracing": self.tracing.model_dump(by_alias=True)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Version":
        """Reads the form in the journal."""
        return cls(image=document["image"], tracing=Tracing.model_validate(document["tracing"]))

    def changes_to(self, other: "Version") -> list[str]:
        """A line for each difference of `other`."""
        lines = [f"image: {self.image} → {other.image}"] if self.image != other.image else []
        old, new = self.tracing.model_dump(by_alias=True), other.tracing.model_dump(by_alias=True)
        return lines + [f"tracing.{key}: {old[key]!r} → {new[key]!r}" for key in old if old[key] != new[key]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A stage of the settings, with the pods that make its share; or step 0, before the first stage."""

    number: int
    """In step 0, all pods run the stable version."""
    stage: Stage | None
    """None in step 0."""
    splits: Mapping[str, Split]
    """By the name of the service."""

    @property
    def compared(self) -> Track:
        """The track with which the canary is compared."""
        return "baseline" if self.splits[GATEWAY].baseline else "stable"

    @property
    def share(self) -> float:
        """The canary's share of the gateway's pods, and so of its requests: a Service gives each pod as many."""
        split = self.splits[GATEWAY]
        return split.canary / split.total

    @property
    def title(self) -> str:
        """Its name in messages and reports."""
        return f"stage {self.number}, {self.share:.0%}" if self.stage else "the stable version alone"

    def release(self, stable: Version) -> Release:
        """The settings section with which the program declares this step."""
        pods = {PACKAGES[name]: split for name, split in self.splits.items()}
        rate = self.stage.sampling_rate if self.stage else None
        return Release.model_validate({"image": stable.image, "tracing": stable.tracing, "sampling_rate": rate, **pods})


def split_pods(replicas: int, share: float, max_pods: int, *, fresh_baseline: bool = True) -> Split:
    """The fewest pods, from `replicas` to `max_pods`, whose split is close to a share.

    With all traffic, one pod of the stable version remains: the canary is compared with the stable version over the
    same time, since an earlier time may have had other traffic and other failures.

    Args:
        replicas: pods of the service outside of a rollout.
        share: of the canary.
        max_pods: the most pods.
        fresh_baseline: whether pods of the stable version start together with the canary, in place of stable ones.

    >>> split_pods(3, 0.05, 20)
    Split(stable=15, baseline=3, canary=1)
    """
    if share == 1:
        canary = min(max(replicas, _LAST_CANARIES), max(max_pods - 1, 1, replicas))
        return _with_baseline(Split(stable=1, canary=canary), fresh_baseline=fresh_baseline)
    best: Split | None = None
    smallest = Fraction(1)
    for total in range(max(replicas, 2), max(max_pods, replicas + 1) + 1):
        canary = min(max(1, round(total * share)), total - 1)
        difference = abs(Fraction(canary, total) - Fraction(share))
        if best is None or difference < smallest:
            best, smallest = Split(stable=total - canary, canary=canary), difference
        if smallest <= Fraction(_TOLERANCE) * Fraction(share):
            break
    assert best is not None
    return _with_baseline(best, fresh_baseline=fresh_baseline)


def _with_baseline(split: Split, *, fresh_baseline: bool) -> Split:
    baseline = min(split.stable, BASELINES * split.canary) if fresh_baseline else 0
    return Split(stable=split.stable - baseline, baseline=baseline, canary=split.canary)


def plan_steps(settings: Settings) -> tuple[Step, ...]:
    """Step 0, and then a step for each stage."""
    replicas = {name: size.replicas for name, size in settings.services.sizes.items()}
    rollout = settings.rollout
    stable_only = {name: Split(stable=count) for name, count in replicas.items()}
    return (
        Step(number=0, stage=None, splits=stable_only),
        *(
            Step(
                number=number,
                stage=stage,
                splits={
                    name: split_pods(count, stage.share, rollout.max_pods, fresh_baseline=rollout.fresh_baseline)
                    for name, count in replicas.items()
                },
            )
            for number, stage in enumerate(rollout.stages, 1)
        ),
    )


def surge(step: Step, other: Step) -> Mapping[str, Split]:
    """The pods during a move between two steps: of each track the larger number, so that capacity never drops."""
    return {
        name: Split(
            stable=max(step.splits[name].stable, other.splits[name].stable),
            baseline=max(step.splits[name].baseline, other.splits[name].baseline),
            canary=max(step.splits[name].canary, other.splits[name].canary),
        )
        for name in step.splits
    }


def desired_version(settings: Settings) -> Version:
    """The version that the settings declare."""
    return Version(image=settings.service_image, tracing=settings.tracing)


def running_version(client: kubernetes.client.ApiClient, namespace: str) -> Version | None:
    """The stable version that the cluster runs; None if nothing runs yet.

    Raises:
        DeployError: the gateway's Deployment cannot be read, or was not deployed by this program.
    """
    try:
        deployment = kubernetes.client.AppsV1Api(client).read_namespaced_deployment(
            GATEWAY, namespace, _request_timeout=30
        )
    except kubernetes.client.ApiException as error:
        if error.status == 404:
            return None
        raise DeployError(f"deployment {namespace}/{GATEWAY} cannot be read: {error.reason}") from None
    container = deployment.spec.template.spec.containers[0]
    variables = {variable.name: variable.value or "" for variable in container.env or []}  # the API returns "" as None
    try:
        tracing = Tracing.from_env(variables)
    except ValueError as error:  # SettingsError, ValidationError
        raise DeployError(
            f"how deployment {namespace}/{GATEWAY} traces cannot be read from its environment: {error}"
        ) from None
    return Version(image=container.image, tracing=tracing)
