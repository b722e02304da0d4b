"""The section `rollout` of the settings."""

from itertools import pairwise
from typing import Annotated, Self

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

    confidence: Annotated[float, Field(ge=0.8, lt=1)] = 0.99
    """Confidence level of the interval around a measured share."""
    operations: Annotated[int, Field(ge=20, le=1_000_000)] = 50
    """Requests or messages of the new version below which the result is inconclusive."""
    error_margin: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """Its share of failed operations may be larger than the stable version's by this much."""
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
    """Time after the soak, in s, within which enough traffic for a conclusive result must arrive."""


class Rollout(Section):
    """How `make rollout` brings a new image, or new tracing settings, to the traffic."""

    stages: Annotated[tuple[Stage, ...], FromList, Field(min_length=1, max_length=20)] = (
        Stage(share=0.05),
        Stage(share=0.25),
        Stage(share=0.5),
        Stage(share=1),
    )
    """The steps, with growing shares; the share of the last one is 1."""
    max_pods: Annotated[int, Field(ge=2, le=200)] = 20
    """Largest number of pods of one service during a rollout. It limits how small a share can be: one pod of these."""
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
