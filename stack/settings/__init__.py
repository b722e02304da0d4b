"""The settings tree of a stack: typed, complete, refused at load when wrong.

Each section is one structured key of the Pulumi project's configuration (`web-crawl-tracing:traces: {backend: tempo}`),
so `pulumi config set --path traces.backend jaeger` works. Secrets are no part of the tree; see `secrets.py`.
`python -m stack.settings --schema` prints the JSON Schema that the stack files name, for editors.
"""

import argparse
import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

import pulumi
import yaml
from pulumi.runtime import config as engine_config
from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from contracts import secret_keys
from contracts.errors import UserError
from contracts.section import (
    Cpu,
    DnsLabel,
    DnsName,
    FromList,
    ImageReference,
    MailAddress,
    Quantity,
    Retention,
    Section,
    WebAddress,
    quantity_bytes,
)
from dashboards.objectives import Objectives
from stack.settings import exposed_secrets
from stack.settings.tracing import Tracing as Tracing

PROJECT: Final = "web-crawl-tracing"
ROOT: Final = Path(__file__).resolve().parents[2]
OVERLAY: Final = Path(".local/overlay.yaml")
LOCAL_CONTEXT: Final = "local"


class SettingsError(UserError):
    """The settings cannot be used; the message names the file, each key, its value and what is allowed."""


class PriorityClasses(Section):
    """Names of PriorityClasses that the cluster has; its default if unset.

    Where nodes are short of memory or CPU, pods of a lower priority make room: tracing for the tasks, say.
    """

    tasks: DnsName | None = None
    """Of what handles tasks: the services, Kafka, Postgres."""
    telemetry: DnsName | None = None
    """Of what watches them: Collectors, stores, Grafana."""


class Cluster(Section):
    context: Annotated[str, Field(min_length=1)]
    """Kube context that this stack is deployed to; the current context is never used."""
    kubeconfig: str | None = None
    """Path of the kubeconfig that has the context; the client's default ($KUBECONFIG, ~/.kube/config) if unset."""
    namespace: DnsLabel = "tracing"
    """Namespace of the stack; created by it, with PodSecurity `restricted` enforced."""
    storage_class: DnsLabel | None = None
    """StorageClass of all volumes; the cluster's default if unset."""
    protect_data: bool = False
    """Whether the namespace, with the volumes and secrets in it, is kept from being deleted by accident."""
    priority_classes: PriorityClasses = PriorityClasses()
    pull_secrets: Annotated[tuple[DnsName, ...], FromList] = ()
    """Secrets of the namespace with which images are pulled; you make them, as the stack does not know their values."""


class Size(Section):
    cpu: Cpu = "100m"
    """CPU that the scheduler reserves. Not a limit: throttling shows up as latency that no span explains."""
    memory: Quantity = "256Mi"
    """Memory, reserved and limit alike."""


class Workload(Size):
    replicas: Annotated[int, Field(ge=1, le=50)] = 1
    """Number of pods."""


class Stateful(Size):
    volume: Quantity = "5Gi"
    """Size of the persistent volume of each pod."""


class Services(Section):
    gateway: Workload = Workload(memory="192Mi")
    """Front door: takes requests, starts the trace."""
    task_manager: Workload = Workload(memory="256Mi")
    """Owner of the tasks: consumes `task-status`, writes Postgres."""
    crawler: Workload = Workload(memory="192Mi")
    """Fetches the pages."""


class Queueing(Workload):
    """Collectors that each own a queue on disk."""

    memory: Quantity = "512Mi"
    queue_volume: Quantity = "2Gi"
    """Size of each one's volume, for what its receiver has not taken yet."""
    queue_size: Annotated[int, Field(ge=10_000)] = 500_000
    """Spans that the queue holds before it pushes back on the senders; several of its largest batches at least."""

    @model_validator(mode="after")
    def _queue_fits_volume(self) -> Self:
        # About 1 KiB a span on disk, twice while the file is compacted; logs and metrics have a quarter of it each.
        needed = self.queue_size * 2048 * 3 // 2
        if needed > quantity_bytes(self.queue_volume):
            raise ValueError(
                f"queueSize {self.queue_size} needs about {needed // 2**20}Mi; queueVolume has {self.queue_volume}"
            )
        return self


class Autoscaling(Section):
    """Collectors are added while they are busy, and taken away by hand only: one that goes leaves its queue behind."""

    max_replicas: Annotated[int, Field(ge=2, le=50)]
    """The most Collectors; `replicas` is the fewest."""
    cpu_percent: Annotated[int, Field(ge=10, le=1000)] = 80
    """CPU of all Collectors, as a share of what they reserve, above which one is added."""


class Sampling(Queueing):
    """Which traces are stored. They are decided on whole, by Collectors of their own (`sampler`), fed through Kafka."""

    ratio: Annotated[float, Field(ge=0, le=1)]
    """Share of the traces stored that no policy keeps, 0 to 1."""
    policies: Annotated[tuple[Literal["errors", "slow"], ...], FromList] = ("errors", "slow")
    """Which traces are stored in any case: those with an error in them, those that took longer than `slowMs`."""
    slow_ms: Annotated[int, Field(ge=1, le=3_600_000)] = 1000
    """Duration of a trace, from its first start to its last end, above which it is slow."""
    decision_wait_seconds: Annotated[int, Field(ge=1, le=600)] = 30
    """Time from a trace's first span to the decision; a killed sampler loses what was waiting for it."""

    @property
    def waiting_traces(self) -> int:
        """Traces that may wait for their decision: half of the memory, at about 20 KiB a trace of 17 spans."""
        return quantity_bytes(self.memory) // 2 // (20 * 1024)

    @model_validator(mode="after")
    def _samples(self) -> Self:
        if self.ratio == 1:
            raise ValueError("ratio 1 stores everything: leave `sampling` out, which needs no samplers")
        if "slow" in self.policies and self.slow_ms >= self.decision_wait_seconds * 1000:
            raise ValueError(
                f"slowMs {self.slow_ms} is not less than decisionWaitSeconds {self.decision_wait_seconds}: whatever is "
                "slow would be decided on before it shows"
            )
        return self


class Collector(Queueing):
    cpu: Cpu = "100m"
    autoscaling: Autoscaling | None = None
    """More Collectors under load; as many as `replicas` at any time if unset. Needs a metrics server in the cluster."""
    sampling: Sampling | None = None
    """Every trace is stored if unset."""

    @model_validator(mode="after")
    def _room_to_scale(self) -> Self:
        if self.autoscaling and self.autoscaling.max_replicas <= self.replicas:
            raise ValueError(
                f"autoscaling.maxReplicas {self.autoscaling.max_replicas} is not more than replicas {self.replicas}"
            )
        return self


class ObjectStorage(Section):
    """A bucket that is reached through S3's API.

    Its keys are the secrets `objectStorageAccessKey` and `objectStorageSecretKey`; without them the pods' own identity
    has to be enough.
    """

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    """Its name; it has to be there."""
    endpoint: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(:\d{1,5})?$", examples=["s3.eu-central-1.amazonaws.com"])]
    """Host, and port if it is not the usual one; no scheme."""
    region: str | None = None
    """Region, where the endpoint does not say it."""
    prefix: Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$")] = ""
    """Folder in the bucket, so that stacks can share one."""
    insecure: bool = False
    """HTTP instead of HTTPS."""
    identity: Annotated[
        dict[str, str],
        Field(default_factory=dict, examples=[{"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"}]),
    ]
    """Annotations of the ServiceAccounts of Tempo's pods by which they get rights to the bucket."""


class Distributed(Workload):
    """Tempo in parts, with Kafka in front of them: it acknowledges what is in Kafka's log, and outlives a kill.

    Tempo's single binary acknowledges first and writes after; killed, it loses the last seconds.
    """

    replicas: Annotated[int, Field(ge=1, le=50)] = 2
    """Distributors, live stores, block builders, queriers: so many of each. A live store that is taken away for good
    leaves a partition behind that nobody reads, so this number only grows."""
    memory: Quantity = "1Gi"
    volume: Quantity = "10Gi"
    """Size of the volume of each live store and block builder."""


class Traces(Stateful):
    backend: Literal["tempo", "jaeger"] = "tempo"
    """The trace store."""
    memory: Quantity = "1Gi"
    volume: Quantity = "10Gi"
    object_storage: ObjectStorage | None = None
    """Where Tempo keeps its blocks; on its volume if unset."""
    distributed: Distributed | None = None
    """Tempo in parts, for prod; a single binary if unset. `memory` and `volume` are the single binary's."""

    @property
    def durable(self) -> bool:
        """Whether the store acknowledges only what it still has after it was killed."""
        return self.backend == "jaeger" or self.distributed is not None

    @model_validator(mode="after")
    def _backend_can(self) -> Self:
        if self.backend != "tempo" and (self.object_storage or self.distributed):
            raise ValueError(f"objectStorage and distributed are Tempo's; backend is {self.backend!r}")
        if self.distributed and not self.object_storage:
            raise ValueError("distributed needs objectStorage: the parts share their blocks through it")
        return self


class Logs(Stateful):
    enabled: bool = True
    """Off: no log store; the services' logs go to their standard output alone."""
    memory: Quantity = "512Mi"
    volume: Quantity = "10Gi"


class Metrics(Stateful):
    memory: Quantity = "512Mi"
    volume: Quantity = "10Gi"
    scrape_interval_seconds: Annotated[int, Field(ge=1, le=15)] = 15
    """Time between two scrapes, in s: the fastest alerts look at one minute, and need four of them."""


class Receivers(Section):
    """Who is told of the alerts of one severity: all of these, at the same time. Each has a secret of its own, named
    after the severity (`alertPage…`, `alertTicket…`)."""

    webhook: bool = False
    """Alertmanager's own JSON, posted to the URL in the secret `alert<Severity>WebhookUrl`."""
    slack: bool = False
    """A message through the incoming webhook in the secret `alert<Severity>SlackUrl`, into the channel that it has."""
    pagerduty: bool = False
    """An incident, through the integration key (Events API v2) in the secret `alert<Severity>PagerdutyKey`."""
    email: Annotated[tuple[MailAddress, ...], FromList] = ()
    """Addresses that mail goes to; `smtp` says through which server."""

    @property
    def any(self) -> bool:
        """Whether anybody is told."""
        return bool(self.webhook or self.slack or self.pagerduty or self.email)


class Smtp(Section):
    """The server that takes the mail."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+:\d{1,5}$", examples=["smtp.example.com:587"])]
    """Its name and port."""
    sender: MailAddress
    """Whom the mail is from."""
    username: Annotated[str, Field(min_length=1)] | None = None
    """Who logs in, with the password in the secret `alertSmtpPassword`; nobody logs in if unset."""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """How the connection is encrypted: by command after it begins (port 587), from its first byte (465), or not."""

    @model_validator(mode="after")
    def _no_password_in_clear(self) -> Self:
        if self.username and self.tls == "none":
            raise ValueError(f"username {self.username!r} would log in with its password in clear: tls is 'none'")
        return self


class Alerting(Stateful):
    """Alertmanager: whom it tells of what. Without receivers alerts are seen in it and in Grafana, and wake nobody."""

    enabled: bool = True
    """Off: no Alertmanager; alerts are seen in Prometheus alone."""
    cpu: Cpu = "50m"
    memory: Quantity = "128Mi"
    volume: Quantity = "1Gi"
    url: WebAddress = "http://localhost:9093"
    """Where people open Alertmanager, without a slash at the end; links in notifications lead there."""
    page: Receivers = Receivers()
    """Who is told of what cannot wait."""
    ticket: Receivers = Receivers()
    """Who is told of what waits for the morning."""
    heartbeat_minutes: Annotated[int, Field(ge=1, le=60)] | None = None
    """Time between two posts to the URL in the secret `alertHeartbeatUrl`, in minutes, for as long as alerting works.
    Who is posted to raises the alarm when they end; nobody does if unset."""
    smtp: Smtp | None = None
    """Needed by receivers of mail."""
    pagerduty_region: Literal["us", "eu"] = "us"
    """Where the account at PagerDuty is."""

    @property
    def needed_secrets(self) -> tuple[str, ...]:
        """Keys of the secrets that the receivers need."""
        if not self.enabled:
            return ()
        return (
            *(
                key[severity]
                for severity, to in (("page", self.page), ("ticket", self.ticket))
                for key, wanted in (
                    (secret_keys.ALERT_WEBHOOK_URL, to.webhook),
                    (secret_keys.ALERT_SLACK_URL, to.slack),
                    (secret_keys.ALERT_PAGERDUTY_KEY, to.pagerduty),
                )
                if wanted
            ),
            *((secret_keys.ALERT_HEARTBEAT_URL,) if self.heartbeat_minutes else ()),
            *((secret_keys.ALERT_SMTP_PASSWORD,) if self.smtp and self.smtp.username else ()),
        )

    @model_validator(mode="after")
    def _nobody_is_forgotten(self) -> Self:
        if self.ticket.any and not self.page.any:
            raise ValueError("ticket has receivers and page has none: what cannot wait would tell nobody")
        mail = self.page.email or self.ticket.email
        if mail and self.smtp is None:
            raise ValueError(f"email to {mail[0]} needs smtp: host and sender")
        if self.smtp and not mail:
            raise ValueError(f"smtp.host {self.smtp.host!r} is not used: neither page nor ticket has an email")
        return self

    @model_validator(mode="after")
    def _pagerduty_is_used(self) -> Self:
        if self.pagerduty_region != "us" and not (self.page.pagerduty or self.ticket.pagerduty):
            raise ValueError(f"pagerdutyRegion {self.pagerduty_region!r} is not used: no receiver is pagerduty")
        return self


class Kafka(Stateful):
    cpu: Cpu = "200m"
    memory: Quantity = "1Gi"
    partitions: Annotated[int, Field(ge=1, le=256)] = 3
    """Partitions of each topic, so the most consumers that work side by side."""


class Grafana(Stateful):
    enabled: bool = True
    """Off: no Grafana; datasources and dashboards are still rendered and checked."""
    url: WebAddress = "http://localhost:3000"
    """Where people open Grafana, without a slash at the end; the links of alerts lead there."""
    volume: Quantity = "1Gi"


class Load(Section):
    """What the stack is expected to take. Its sizes are held against that."""

    traces_per_second: Annotated[float, Field(gt=0, le=1_000_000)]
    """New traces in a second, as the mean of a day: tasks, and requests that make none."""
    peak: Annotated[float, Field(ge=1, le=1000)] = 5.0
    """How many times as many the busiest minute has."""
    spans_per_trace: Annotated[int, Field(ge=1, le=100_000)] = 15
    """A task that goes all the way has 15."""


class Images(Section):
    service: ImageReference
    """Image of the services, with tag or digest, built from `service/Dockerfile`; the local stack builds its own."""

    @model_validator(mode="after")
    def _not_latest(self) -> Self:
        if self.service.endswith(":latest"):
            raise ValueError(f"service {self.service!r}: a deployment of `latest` cannot be repeated; name a version")
        return self


class Split(Section):
    """Pods of a service, by version."""

    baseline: Annotated[int, Field(ge=0, le=200)]
    """Pods of what ran before."""
    canary: Annotated[int, Field(ge=0, le=200)]
    """Pods of what the settings say."""

    @model_validator(mode="after")
    def _somebody_answers(self) -> Self:
        if not self.baseline + self.canary:
            raise ValueError("no pod of either version: nothing would answer")
        return self


class Release(Section):
    """Where a rollout is: what ran before, beside what the settings say. Written by `make rollout`, not by people."""

    image: ImageReference
    """Image of the services before."""
    tracing: Tracing
    """How they traced."""
    sampling_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of new traces that the new version records at this stage; `tracing.samplingRate` if unset."""
    gateway: Split
    """The front door's pods."""
    task_manager: Split
    """The owner of the tasks."""
    crawler: Split
    """What fetches the pages."""


class Stage(Section):
    """One step of a rollout."""

    share: Annotated[float, Field(gt=0, le=1)]
    """Share of the pods, and so of the traffic, that the new version gets."""
    soak_seconds: Annotated[int, Field(ge=10, le=604_800)] = 300
    """The least time at this stage, in s, before the next one."""
    sampling_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of new traces that the new version records meanwhile; `tracing.samplingRate` if unset."""


class Gate(Section):
    """What the new version has to show at every stage, beside the old one."""

    confidence: Annotated[float, Field(ge=0.8, lt=1)] = 0.99
    """Probability with which an interval around a measured share holds the true one."""
    operations: Annotated[int, Field(ge=20, le=1_000_000)] = 50
    """Requests or messages of the new version below which nothing is said of it."""
    error_margin: Annotated[float, Field(gt=0, le=0.5)] = 0.01
    """By how much its share of failed operations may be above that of the old one."""
    duration_factor: Annotated[float, Field(gt=1, le=10)] = 1.5
    """How many times as long as the old version's its median and p99 may be."""
    memory_factor: Annotated[float, Field(gt=1, le=10)] = 1.3
    """How many times as much memory as the old version's largest pod its largest may have."""
    export_success: Annotated[float, Field(gt=0, le=1)] = 0.99
    """Share of its spans that it has to get out."""
    coverage: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Share of probes, requests whose trace is looked up, that must be found whole in the trace store."""
    patience_seconds: Annotated[int, Field(ge=30, le=604_800)] = 900
    """Time after the soak, in s, within which there must be enough traffic to say that all is well."""


class Rollout(Section):
    """How a changed image or a changed tracing reaches the traffic with `make rollout`."""

    stages: Annotated[tuple[Stage, ...], FromList, Field(min_length=1, max_length=20)] = (
        Stage(share=0.05),
        Stage(share=0.25),
        Stage(share=0.5),
        Stage(share=1),
    )
    """The steps, by growing share; the last one is everything."""
    max_pods: Annotated[int, Field(ge=2, le=200)] = 20
    """Pods of one service meanwhile, at most: the smallest share is one of them."""
    gate: Gate = Gate()

    @model_validator(mode="after")
    def _grows_to_everything(self) -> Self:
        shares = [stage.share for stage in self.stages]
        if any(later <= earlier for earlier, later in pairwise(shares)):
            raise ValueError(f"stages: shares {shares} do not grow")
        if shares[-1] != 1:
            raise ValueError(f"stages: the last share is {shares[-1]}, not 1: the rollout would never end")
        if self.stages[-1].sampling_rate is not None:
            raise ValueError(
                "stages: the last one samples as `tracing.samplingRate` says; leave samplingRate out there"
            )
        return self


class Settings(Section):
    """All settings of one stack."""

    environment: DnsLabel
    """Name of the environment, on every span as `deployment.environment.name`."""
    cluster: Cluster
    images: Images
    retention: Retention = "336h"
    """How long traces, logs and metrics are kept, in hours; one value, so that no link leads to what is gone."""
    services: Services = Services()
    tracing: Tracing = Tracing()
    collector: Collector = Collector()
    traces: Traces = Traces()
    logs: Logs = Logs()
    metrics: Metrics = Metrics()
    alerting: Alerting = Alerting()
    kafka: Kafka = Kafka()
    postgres: Stateful = Stateful()
    grafana: Grafana = Grafana()
    objectives: Objectives = Objectives()
    rollout: Rollout = Rollout()
    release: Release | None = None
    """Set while a new version is rolled out."""
    load: Load | None = None
    """Unset, sizes are checked only for what holds under any load."""

    @model_validator(mode="after")
    def _a_partition_for_each_reader(self) -> Self:
        readers = {"collector.sampling": self.collector.sampling, "traces.distributed": self.traces.distributed}
        for name, reader in readers.items():
            if reader and reader.replicas > self.kafka.partitions:
                raise ValueError(
                    f"{name}.replicas {reader.replicas} is more than kafka.partitions {self.kafka.partitions}: "
                    "the rest would have nothing to read"
                )
        return self


def parse(config: Mapping[str, Any], source: str, encrypted: Collection[str] = ()) -> Settings:
    """The settings in a Pulumi configuration.

    Args:
        config: `project:key` → value, as in a stack file's `config:` or from the engine (objects as JSON text there).
        source: file or engine that it came from, for the error message.
        encrypted: keys whose values the engine has decrypted; a file has `secure:` there.

    Raises:
        SettingsError: names every wrong key with its value and what is allowed, and every secret in clear.
    """
    from stack.settings import sizing  # which needs what is defined here

    prefix = f"{PROJECT}:"
    if exposed := list(
        exposed_secrets.problems({key: _decoded(value) for key, value in config.items()}, PROJECT, _names(), encrypted)
    ):
        raise SettingsError("\n  ".join([f"{source}: the settings cannot be used:", *exposed]))
    misplaced = [_without_prefix(key, value) for key, value in config.items() if _lacks_prefix(key)]
    own = {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
    tree = {key: _decoded(value) for key, value in own.items() if key not in secret_keys.ALL}
    try:
        settings = Settings.model_validate(tree, by_alias=True, by_name=False)
        problems = [*misplaced, *sizing.problems(settings)]
    except ValidationError as error:
        problems = [*misplaced, *(_problem(detail) for detail in error.errors())]
    if problems:
        raise SettingsError("\n  ".join([f"{source}: the settings cannot be used:", *problems]))
    return settings


def _decoded(value: Any) -> Any:
    """The engine hands objects over as JSON text; plain strings stay as they are."""
    if isinstance(value, str) and value.startswith(("{", "[")):
        try:
            return json.loads(value)
        except ValueError:
            return value  # refused as what it is: a text
    return value


@cache
def _names() -> frozenset[str]:
    """Names of all settings."""
    return frozenset(str(field.alias) for section in _sections(Section) for field in section.model_fields.values())


def _sections(section: type[Section]) -> Iterator[type[Section]]:
    yield section
    for below in section.__subclasses__():
        yield from _sections(below)


def _lacks_prefix(key: str) -> bool:
    """Whether nobody would read the key: it has no namespace, or one that can only be this project's, misspelt."""
    namespace, colon, _ = key.partition(":")
    return not colon or (namespace != PROJECT and bool(difflib.get_close_matches(namespace, [PROJECT], cutoff=0.8)))


def _without_prefix(key: str, value: Any) -> str:
    return f"{key}: is read by nobody without the prefix `{PROJECT}:`; write {_form(key.rpartition(':')[2], value)}"


def _form(key: str, value: Any) -> str:
    """How `section.key` is written in a stack file."""
    section, *below = key.split(".")
    shown = "{…}" if isinstance(value, dict) else "…"
    plain = isinstance(value, bool | int | float) or re.fullmatch(r"\d+[A-Za-z]{0,2}", str(value))
    if plain and exposed_secrets.may_be_shown((key, section, *below), value):
        shown = json.dumps(value)
    for name in reversed(below):
        shown = f"{{{name}: {shown}}}"
    return f"`{PROJECT}:{section}: {shown}`"


def _section_of(annotation: Any) -> type[Section] | None:
    """The section that an annotation such as `Sampling | None` allows."""
    allowed = get_args(annotation) or (annotation,)
    return next((item for item in allowed if isinstance(item, type) and issubclass(item, Section)), None)


def _known(loc: Sequence[int | str]) -> Mapping[str, FieldInfo]:
    """The fields of the section at a place in the tree, by the names that stack files have; empty if it is none."""
    section: type[Section] | None = Settings
    for part in loc:
        fields = _by_alias(section)
        section = _section_of(fields[str(part)].annotation) if str(part) in fields else None
    return _by_alias(section)


def _by_alias(section: type[Section] | None) -> dict[str, FieldInfo]:
    return {str(field.alias): field for field in section.model_fields.values()} if section else {}


def _problem(detail: Any) -> str:
    *above, last = detail["loc"] or ("settings",)
    key = ".".join(map(str, (*above, last)))
    known = _known(above)
    match detail["type"]:
        case "extra_forbidden":
            hint = "`python -m stack.settings --schema` lists the known ones"
            if "." in str(last) and not above:
                hint = f"write {_form(str(last), detail['input'])}"
            elif nearest := difflib.get_close_matches(str(last), known, n=1):
                hint = f"did you mean {'.'.join(map(str, (*above, *nearest)))}? {hint}"
            return f"{key}: unknown key; {hint}"
        case "missing":
            return f"{key}: missing"
        case "value_error":
            said = str(detail["ctx"]["error"])
            if isinstance(detail["input"], str) and not _may_be_shown(detail, known.get(last)):
                said = re.sub(r"""(['"]).*\1""", _NOT_SHOWN, said, flags=re.DOTALL)
            return f"{key}: {said}"
        case _:
            given = repr(detail["input"]) if _may_be_shown(detail, known.get(last)) else _NOT_SHOWN
            hint = _hint(detail, known[last]) if last in known else ""
            return f"{key}: {given}: {detail['msg'].lower()}{hint}"


def _may_be_shown(detail: Any, field: FieldInfo | None) -> bool:
    """Whether a value can be a mistyped one of the kind that its key has; any other may be a secret."""
    given, kind = detail["input"], detail["type"]
    if isinstance(given, str):
        is_number = field and field.examples and str(field.examples[0])[0].isdigit()
        form = _NUMBER if is_number and kind != "value_error" else _MISTYPED.get(kind, _NUMBER)
        return bool(form.fullmatch(given)) and exposed_secrets.may_be_shown(detail["loc"], given)
    # A number in the place of a section may be a secret as well.
    return isinstance(given, int | float) and not kind.startswith(("model", "dict", "tuple"))


def _hint(detail: Any, field: FieldInfo) -> str:
    """What a value of another type should have been: the limits of a number, a text with its unit."""
    given = detail["input"]
    if detail["type"] in ("int_type", "float_type"):
        limits = {name: getattr(each, name) for each in field.metadata for name in _LIMITS if hasattr(each, name)}
        unit = " of bytes, without a unit" if str(field.alias).endswith("Bytes") else ""
        return "".join([unit, *(f", {_LIMITS[name]} {limit}" for name, limit in limits.items())])
    if detail["type"] == "string_type" and isinstance(given, int) and not isinstance(given, bool) and field.examples:
        unit = re.sub(r"^\d+", "", str(field.examples[-1]))
        return f" with a unit, such as {given}{unit}" if unit else f', such as "{given}" or {field.examples[0]}'
    return ""


_NOT_SHOWN: Final = "(value not shown)"
_NUMBER: Final = re.compile(r"[+-]?\d[\d.,_]{0,11} ?[A-Za-z%]{0,5}")
"""A number, quantity or duration, with a unit of any kind."""
_WORDS: Final = re.compile(r"(?![^\s]{25})(?:https?://)?(?:[A-Za-z]*|s3)(?:[ ._/:-][A-Za-z]+){0,5}/?")
"""Few words without a digit: a name, a host, an address."""
_MISTYPED: Final = {
    "string_pattern_mismatch": _WORDS,
    "string_too_short": _WORDS,
    "string_too_long": _WORDS,
    "literal_error": re.compile(r"[A-Za-z]{1,12}"),
    "bool_type": re.compile(r"(?i)true|false|yes|no|on|off|enabled|disabled|[01]"),
    "value_error": re.compile(rf"{_NUMBER.pattern}|(?:[A-Z]{{1,7}} )?/[^\s=]*=\S*|topic:[^\s=]*=\S*"),
}
"""By the kind of a problem: texts that are a mistyped value, and so can be shown; of other kinds those of `_NUMBER`."""
_LIMITS: Final = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def stack_file(stack: str) -> Path:
    """Path of `Pulumi.<stack>.yaml`.

    Raises:
        SettingsError: there is no such stack; the message lists those that there are.
    """
    path = ROOT / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.name.split(".")[1] for file in ROOT.glob("Pulumi.*.yaml")))
        raise SettingsError(f"there is no stack {stack!r} (no {path.name}); known stacks: {known}")
    return path


def effective_config(stack: str) -> dict[str, Any]:
    """Configuration of a stack: its file, and for the local cluster what `make up` found out about this machine.

    Raises:
        SettingsError: no such stack, or a file that is not YAML of the expected shape.
    """
    config = _read(stack_file(stack))
    if overlaid(stack):
        for key, value in _read(ROOT / OVERLAY).items():
            config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
    return config


def overlaid(stack: str) -> bool:
    """Whether the stack is of the local cluster, and there is something to lay over its file.

    Raises:
        SettingsError: as `effective_config`.
    """
    cluster = _read(stack_file(stack)).get(f"{PROJECT}:cluster")
    local = isinstance(cluster, dict) and cluster.get("context") == LOCAL_CONTEXT
    return local and (ROOT / OVERLAY).is_file()


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, as Pulumi does: the first value would be in the file and never be read."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
            again = next(key for number, (key, _) in enumerate(node.value) if key.value in keys[:number])
            raise yaml.constructor.ConstructorError(None, None, f"{', '.join(twice)}: more than once", again.start_mark)
        return super().construct_mapping(node, deep)


def _project_config() -> dict[str, Any]:
    """What `Pulumi.yaml` sets for all stacks; Pulumi lays the stack's file over it."""
    file = ROOT / "Pulumi.yaml"
    document = yaml.load(file.read_text(), _Loader) if file.is_file() else {}
    found = (document.get("config") or {}).items()
    return {
        key: value.get("value", value.get("default")) if isinstance(value, dict) and "secure" not in value else value
        for key, value in found
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(), _Loader)
        config = document["config"]
        if not isinstance(config, dict):
            raise TypeError
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise SettingsError(f"{path.name}: not a stack file with a `config:` mapping ({error})") from None
    # Pulumi has an `environment` of its own there.
    if outside := [
        key for key in document if key.startswith(f"{PROJECT}:") or key in _by_alias(Settings).keys() - {"environment"}
    ]:
        raise SettingsError(f"{path.name}: {', '.join(outside)}: is read by nobody outside of `config:`; move it there")
    return config


def load(stack: str) -> Settings:
    """Settings of a stack from its file, for everything that runs outside of the Pulumi engine.

    Raises:
        SettingsError: no such stack, or settings that cannot be used.
    """
    if exposed := list(exposed_secrets.problems(_project_config(), PROJECT, _names(), ())):
        raise SettingsError("\n  ".join(["Pulumi.yaml: the settings cannot be used:", *exposed]))
    return parse(effective_config(stack), f"Pulumi.{stack}.yaml")


def load_here(stack: str) -> Settings:
    """Settings of a stack for a command that a person runs on it.

    Raises:
        SettingsError: as `load`; or this clone does not know what `make up` has put onto the local cluster.
    """
    settings = load(stack)
    if settings.cluster.context == LOCAL_CONTEXT and not (ROOT / OVERLAY).is_file():
        raise SettingsError(
            f"stack {stack} is on the cluster that `make up` makes, and this clone has no {OVERLAY}, which says what "
            "that cluster has: run `make up` in this clone first"
        )
    return settings


def from_engine() -> Settings:
    """Settings as the running Pulumi engine (or its mock) has them."""
    # The engine passes the keys through the environment, the mocks through the variable; `Config` cannot list either.
    config = {**engine_config.get_config_env(), **engine_config.CONFIG.get()}
    encrypted = {*engine_config.get_config_secret_keys_env(), *filter(engine_config.is_config_secret, config)}
    return parse(config, f"stack {pulumi.get_stack()}", encrypted)


def schema() -> dict[str, Any]:
    """JSON Schema of a stack file, for editors."""
    tree = Settings.model_json_schema(by_alias=True)
    definitions = tree.pop("$defs")
    required = [f"{PROJECT}:{key}" for key in tree["required"]]
    properties = {f"{PROJECT}:{key}": value for key, value in tree["properties"].items()}
    for key in secret_keys.ALL:
        properties[f"{PROJECT}:{key}"] = {
            "description": "Secret; set with `pulumi config set --secret`, never written in clear.",
            "type": "object",
            "required": ["secure"],
            "properties": {"secure": {"type": "string"}},
            "additionalProperties": False,
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Stack file of {PROJECT}",
        "type": "object",
        "required": ["config"],
        "properties": {
            "config": {
                "type": "object",
                "required": required,
                "properties": properties,
                "patternProperties": {f"^(?!{PROJECT}:)": {}},
                "additionalProperties": False,
            }
        },
        "$defs": definitions,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stack.settings", description="The settings tree of a stack.")
    parser.add_argument("--schema", action="store_true", required=True, help="print the JSON Schema of the stack files")
    parser.parse_args()
    print(json.dumps(schema(), indent=2))


if __name__ == "__main__":
    main()
