"""The section `rollout` of the settings."""

from itertools import pairwise
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from contracts.section import FromList, Section


class Stage(Section):
    """One step of a rollout."""

    share: Annotated[float, Field(gt=0, le=1)]
    """Share of the pods, and so of the traffic, that the new version gets: its weight."""
    soak_seconds: Annotated[int, Field(ge=10, le=604_800)] = 300
    """Shortest time between the start of this step and the next one, in s."""
    sampling_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of new traces that the new version records in this step; `tracing.samplingRate` if unset."""


class Gate(Section):
    """The limits for the new version in every step, compared with the stable version over the same time."""

    false_alarms: Annotated[float, Field(gt=0, le=0.2)] = 0.01
    """Largest share of rollouts that go back although the new version is as good as the stable one: over all stages,
    services, checks and looks together."""
    confidence: Annotated[float, Field(ge=0.8, lt=1)] = 0.97
    """Probability with which a version beyond a margin does not pass."""
    operations: Annotated[int, Field(ge=20, le=1_000_000)] = 50
    """Messages below which a consumer is not compared, since a pod may have no partition: of the new version, and
    before the last step also of the stable one. And spans of the new version, below which their export is
    inconclusive."""
    error_margin: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """Its share of failed operations may be larger than the stable version's by this much, or by `errorFactor`."""
    error_factor: Annotated[float, Field(ge=1, le=10)] = 1.5
    """Its share of failed operations may be this many times the stable version's, or larger by `errorMargin`."""
    foreign_margin: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    """The share of pages that foreign sites do not serve to it may be larger by this much, or by `errorFactor`."""
    duration_factor: Annotated[float, Field(gt=1, le=10)] = 1.5
    """Its median and its p99 may be this many times as long as the stable version's."""
    memory_factor: Annotated[float, Field(gt=1, le=10)] = 1.3
    """Its largest pod may use this many times the memory of the stable version's largest pod."""
    export_success: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Share of its spans that it must export."""
    coverage: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Share of the probes' traces that must be complete in the trace store. A probe is a request of the rollout's own
    whose trace is then looked up."""
    patience_seconds: Annotated[int, Field(ge=30, le=604_800)] = 900
    """Time after the soak, in s, for which a step waits for enough traffic for a conclusive result."""
    undecided: Literal["hold", "continue", "back"] = "hold"
    """What follows if the result is still inconclusive then: the pods stay as they are, and the next run continues
    (hold); the next step (continue); or the rollout goes back (back)."""
    probes_per_second: Annotated[float, Field(gt=0, le=50)] = 5
    """Largest rate of the rollout's own requests to both versions, which supply the traffic that users do not."""


class Rollout(Section):
    """How `make rollout` brings a new image, or new tracing settings, to the traffic."""

    stages: Annotated[tuple[Stage, ...], FromList, Field(min_length=1, max_length=20)] = (
        Stage(share=0.05),
        Stage(share=0.25),
        Stage(share=0.5),
        Stage(share=1),
    )
    """The steps, with growing shares; the share of the last one is 1. One pod of the stable version stays in it: both
    versions are compared over the same time in every step."""
    max_pods: Annotated[int, Field(ge=2, le=200)] = 20
    """Largest number of pods of one service during a rollout. It limits how small a share can be: one pod of these."""
    fresh_baseline: bool = True
    """Whether pods of the stable version start together with those of the new one, in place of older ones, and the new
    version is compared with these alone: up to three for each pod of the new version. Else it is compared with pods
    whose caches are warm."""
    gate: Gate = Gate()

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        shares = [stage.share for stage in self.stages]
        if any(later <= earlier for earlier, later in pairwise(shares)):
            raise ValueError(f"stages: shares {shares} do not grow")
        if shares[-1] != 1:
            raise ValueError(f"stages: the last share is {shares[-1]}, not 1: the rollout would never end")
        if self.stages[-1].sampling_rate is not None:
            raise ValueError("stages: the last one uses `tracing.samplingRate`; remove its samplingRate")
        return self


CA_VARIABLE: Final = "PROMETHEUS_CA"
"""Variable of the judge in the cluster: PEM of the authority of an encrypted Prometheus."""
AUTHORIZATION_VARIABLE: Final = "PROMETHEUS_AUTHORIZATION"
"""Its header `Authorization`."""


class StageAnalysis(Section):
    """The input of the program in the cluster that judges one stage of one service, for Argo Rollouts."""

    service: str
    """Name of the service."""
    prometheus: str
    """Base URL of Prometheus."""
    soak_seconds: int
    """Shortest time of the stage, in s."""
    is_traced: bool
    """Whether the new version traces."""
    gate: Gate
    """The limits; `falseAlarms` is the part of this stage."""
