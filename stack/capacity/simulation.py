"""A model of the queues in one cell, in steps of a second: how they fill while the store is unavailable, and empty.

senders → Collectors' queues → partitions of Kafka → samplers' queues → store. Without sampling, the Collectors' queues
are those before the store. Flows are numbers of spans; nothing in it is random except the keys of the partitions.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from contracts.section import quantity_bytes
from stack.capacity.costs import BLOCKS, Costs
from stack.capacity.figures import Figures
from stack.capacity.provider import Limits
from stack.capacity.sizes import Sizes, cores_of
from stack.components.collector.settings import Queueing
from stack.settings.sizing import SPAN_TOPICS
from stack.settings.tree import Load

KEYS: Final = 20_000
"""Keys of messages; the traces that arrive in some minutes are more, and spread better."""
_STEP: Final = 1.0
_EMPTY: Final = 0.5
"""Spans: less is an empty queue."""
_MEBIBYTE: Final = 2**20


@dataclass(frozen=True, kw_only=True)
class Model:
    """One cell. Rates are in spans/s, queues in spans. By default, Collectors send straight to the store."""

    arriving: float
    collector_rate: float
    """What all Collectors take."""
    collector_queue: float
    """Room in all Collectors."""
    store_rate: float
    shares: Sequence[float] = ()
    """Share of the spans in each partition; empty without Kafka."""
    partition_room: float = 0
    """Spans that a partition keeps; it deletes the oldest ones beyond that."""
    kafka_rate: float = 0
    samplers: int = 0
    sampler_rate: float = 0
    """What each sampler takes."""
    sampler_queue: float = 0
    """Room in each sampler."""
    stored: float = 1
    """Share of the spans that samplers keep."""


@dataclass(frozen=True, kw_only=True)
class Depths:
    """Spans that wait at one time."""

    seconds: float
    """Since the outage began."""
    senders: float
    collectors: float
    kafka: float
    hottest: float
    """In the partition with the most."""
    samplers: float

    @property
    def waiting(self) -> float:
        """In all places."""
        return self.senders + self.collectors + self.kafka + self.samplers


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a simulation showed."""

    depths: Sequence[Depths]
    """Every second, until nothing waits or the time is over."""
    lost: float
    """Spans that Kafka deleted before a sampler read them."""
    recovery_seconds: float | None
    """From the end of the outage until nothing waits; None if something still waits."""

    def most(self, place: str) -> float:
        """Return the most spans that waited in a place, which is a field of `Depths`."""
        return max(float(getattr(item, place)) for item in self.depths)


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A simulation of one of several equal cells."""

    load: Load
    """Of all cells."""
    cells: int
    model: Model
    """Of each cell."""
    outage_seconds: float
    result: Result


def shares(partitions: int, skew: float, seed: int) -> list[float]:
    """Return the share of each partition, for keys of unequal weight.

    Args:
        partitions: their number.
        skew: the key with the n-th most spans has a weight of 1 / n^skew (Zipf); 0: all keys have the same.
        seed: decides to which partition each key belongs.
    """
    rng = random.Random(seed)
    weights = [0.0] * partitions
    for rank in range(1, KEYS + 1):
        weights[rng.randrange(partitions)] += rank**-skew
    total = sum(weights)
    return [weight / total for weight in weights]


def model_of(load: Load, needed: Sizes, figures: Figures, limits: Limits, *, skew: float = 0, seed: int = 1) -> Model:
    """Return the model of a cell.

    Args:
        load: of the cell.
        needed: its sizes.
        figures: that were measured.
        limits: of the provider.
        skew: of the keys; see `shares`.
        seed: of the keys.
    """
    settings = needed.settings
    collector, sampling, traces = settings.collector, settings.collector.sampling, settings.traces
    kafka, autoscaling = settings.kafka, collector.autoscaling
    collectors = autoscaling.max_replicas if autoscaling else collector.replicas
    costs = Costs(figures)
    span = costs.broker_bytes(1)
    a_span = costs.collector_cores(1, has_kafka=sampling is not None, is_one_pass=collector.image is not None)
    store = traces.distributed or traces
    pods = traces.distributed.replicas if traces.distributed else 1
    return Model(
        arriving=load.traces_per_second * load.spans_per_trace * settings.tracing.sampling_rate,
        collector_rate=cores_of(collector.cpu) * collectors / a_span,
        collector_queue=_room(collector),
        shares=shares(kafka.partitions, skew, seed) if sampling else [],
        partition_room=quantity_bytes(kafka.volume) / SPAN_TOPICS["collector.sampling"] / kafka.partitions / span,
        kafka_rate=limits.volume_mebibytes_per_second * _MEBIBYTE / span,
        samplers=sampling.replicas if sampling else 0,
        sampler_rate=cores_of(sampling.cpu) / costs.sampler_cores(1) if sampling else 0,
        sampler_queue=_room(sampling) / sampling.replicas if sampling else 0,
        stored=sampling.ratio if sampling else 1,
        store_rate=costs.store_rate(traces.backend, cores_of(store.cpu), BLOCKS[traces.backend]) * pods,
    )


def _room(size: Queueing) -> float:
    return float(size.queue_size * size.replicas)


def simulate(model: Model, *, outage_seconds: float, limit_seconds: float = 86_400) -> Result:
    """Simulate an outage of the store that begins at once, and what follows.

    Args:
        model: of the cell.
        outage_seconds: how long the store takes nothing.
        limit_seconds: after the outage, when the simulation ends although spans still wait.
    """
    senders = collectors = lost = 0.0
    partitions = [0.0] * len(model.shares)
    queues = [0.0] * model.samplers
    depths: list[Depths] = []
    recovery = None
    for step in count(1):
        time = step * _STEP
        room = 0.0 if time <= outage_seconds else model.store_rate * _STEP
        # From the store upwards, so that each place has the room that the next one made in the same step.
        if model.shares:
            queues, _ = _drained(queues, room)
            _read(model, partitions, queues)
            passed = min(collectors, model.kafka_rate * _STEP)
            lost += _append(model, partitions, passed)
        else:
            passed = min(collectors, room)
        collectors -= passed
        senders += model.arriving * _STEP
        taken = min(senders, model.collector_rate * _STEP, model.collector_queue - collectors)
        senders, collectors = senders - taken, collectors + taken
        depths.append(
            Depths(
                seconds=time,
                senders=senders,
                collectors=collectors,
                kafka=sum(partitions),
                hottest=max(partitions, default=0.0),
                samplers=sum(queues),
            )
        )
        # What arrives in a step waits until the next one, in each place.
        if time > outage_seconds and depths[-1].waiting <= _places(model) * model.arriving * _STEP + _EMPTY:
            recovery = time - outage_seconds
            break
        if time >= outage_seconds + limit_seconds:
            break
    return Result(depths=depths, lost=lost, recovery_seconds=recovery)


def _places(model: Model) -> int:
    return 3 if model.shares else 1


def _drained(queues: Sequence[float], room: float) -> tuple[list[float], float]:
    """Return queues without what a common receiver takes, from each in proportion to its length; and what it takes."""
    total = sum(queues)
    taken = min(total, room)
    return [queue - (taken * queue / total if total else 0.0) for queue in queues], taken


def _read(model: Model, partitions: list[float], queues: list[float]) -> None:
    """Each sampler reads its partitions, as far as its CPU and its queue allow."""
    for sampler in range(model.samplers):
        own = range(sampler, len(partitions), model.samplers)
        room = (model.sampler_queue - queues[sampler]) / model.stored if model.stored else float("inf")
        left, taken = _drained([partitions[index] for index in own], min(model.sampler_rate * _STEP, room))
        for index, spans in zip(own, left, strict=True):
            partitions[index] = spans
        queues[sampler] += taken * model.stored


def _append(model: Model, partitions: list[float], spans: float) -> float:
    """Write spans to the partitions, and return how many old ones are deleted."""
    lost = 0.0
    for index, share in enumerate(model.shares):
        written = partitions[index] + spans * share
        partitions[index] = min(written, model.partition_room)
        lost += written - partitions[index]
    return lost
