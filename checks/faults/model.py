"""A fault of the catalogue, and the choices of an answer: which hop fails, and why."""

from dataclasses import dataclass
from typing import Final

from checks.faults.changes import Plan

HARD_SECONDS: Final = 45.0
"""The goal for a fault that stops a part of the stack completely."""
SOFT_SECONDS: Final = 120.0
"""The goal for a fault that degrades a part of the stack."""


USERS_COMPLAIN: Final = "page: users complain"
TELEMETRY_INCOMPLETE: Final = "ticket: users are well; traces, logs or metrics are not as they should be"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of the hops or causes of an answer."""

    name: str
    title: str
    aliases: tuple[str, ...] = ()
    """Other texts that mean the same."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What shows the fault."""

    dashboard: str
    panel: str
    trace: str
    """Where to look in a trace, a log or the cluster, and what it shows."""
    query: str = ""
    """PromQL that has a result only while the fault shows; empty if no metric shows it, only a torn trace."""
    runbook: str | None = None
    """The runbook that fits, by the name of its alert."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault."""

    title: str
    """What is injected."""
    plan: Plan
    hops: tuple[str, ...]
    """The names of the accepted hops, the best first."""
    causes: tuple[str, ...]
    """The names of the accepted causes, the best first."""
    hints: tuple[str, ...]
    """Each says more than the one before."""
    evidence: Evidence
    undo: str
    """How it is undone."""
    page: str = USERS_COMPLAIN
    """What reaches the engineer first; it names neither hop nor cause."""
    alerts: frozenset[str] = frozenset()
    """Any of these alerts detects the fault."""
    seconds: float = SOFT_SECONDS
    """The goal for the time until the alert."""


def _choice(name: str, title: str, *aliases: str) -> Choice:
    return Choice(name=name, title=title, aliases=aliases)


HOPS: Final = (
    _choice("gateway", "gateway", "api"),
    _choice("task-manager", "task-manager"),
    _choice("web-crawler", "web-crawler", "crawler"),
    _choice("postgres", "Postgres", "database", "db", "postgresql"),
    _choice("kafka", "Kafka", "broker", "queue", "message queue"),
    _choice("collector", "Collector", "otel collector", "opentelemetry collector"),
    _choice("trace-store", "trace store (Jaeger or Tempo)", "jaeger", "tempo", "trace store"),
    _choice("loki", "Loki", "log store", "logs"),
    _choice("prometheus", "Prometheus", "metrics store"),
    _choice("callers-gateway", "callers → gateway", "front door", "load balancer", "ingress", "probe gateway",
            "users gateway"),
    _choice("gateway-task-manager", "gateway → task-manager", "gateway task manager"),
    _choice("task-manager-postgres", "task-manager → Postgres", "task manager database", "task manager db"),
    _choice("gateway-kafka", "gateway → Kafka", "gateway queue"),
    _choice("crawler-kafka", "Kafka ↔ web-crawler", "kafka crawler", "crawler kafka", "kafka web crawler",
            "web crawler kafka", "requests web crawl"),
    _choice("crawler-pages", "web-crawler → web pages", "crawler pages", "crawler web pages", "crawler internet",
            "crawler gateway", "web crawler gateway", "web pages"),
    _choice("gateway-collector", "gateway → Collector", "gateway collector"),
    _choice("collector-store", "Collector → trace store", "collector jaeger", "collector tempo",
            "collector trace store"),
    _choice("prometheus-services", "Prometheus → services", "prometheus task manager", "scrape", "scraping"),
)  # fmt: skip

CAUSES: Final = (
    _choice("stopped", "stopped: no pod runs", "down", "no pods", "scaled to 0", "scaled down", "not running", "0 pods",
            "0 replicas", "zero replicas", "scaled to zero"),
    _choice("crash-loop", "its process is killed again and again", "crash loop", "crashloop", "crashes", "restarts",
            "killed", "crash looping", "crashloopbackoff"),
    _choice("out-of-memory", "its memory limit is too low", "oom", "oomkilled", "out of memory", "memory limit",
            "memory"),
    _choice("cpu-limit", "it gets too little CPU time", "cpu", "throttled", "throttling", "cpu limit"),
    _choice("bad-version", "a new version has a bug", "bad version", "bad deployment", "bug", "new version",
            "bad release", "new image"),
    _choice("bad-setting", "a changed setting or configuration is wrong", "wrong setting", "bad setting",
            "misconfiguration", "configuration", "config", "misconfigured", "setting", "environment variable",
            "bad configuration"),
    _choice("cut-off", "no packet arrives (firewall, network policy)", "cut off", "dropped", "firewall",
            "network policy", "network partition", "partition", "no connection", "no packets", "blocked network",
            "blocked", "unreachable", "timeout", "timeouts", "connect timeout", "timed out"),
    _choice("resets", "connections are reset", "reset", "connection reset", "connections reset", "rst", "refused"),
    _choice("packet-loss", "some packets are lost", "packet loss", "loss", "lost packets", "slow network", "latency"),
    _choice("dns", "names are not resolved", "dns", "name resolution", "resolve names", "names resolved", "resolver",
            "coredns"),
    _choice("lock", "another session holds a lock", "lock", "locked", "table lock", "locks", "table locked",
            "blocked statements", "blocked session"),
    _choice("connections", "all database connections are in use", "too many clients", "too many connections",
            "connection slots", "pool exhausted", "connections exhausted", "connection limit", "max connections"),
    _choice("wrong-secret", "a password or token is wrong", "wrong password", "password", "wrong token", "token",
            "secret", "credentials", "authentication", "unauthenticated", "rotation"),
    _choice("lost-context", "the trace context is not passed on", "lost context", "context", "propagation",
            "propagator", "torn traces", "torn trace", "propagators"),
    _choice("sampling", "traces are sampled out", "sampling", "sampled out", "sampling rate", "not sampled"),
    _choice("disk-full", "a disk is full", "disk full", "disk", "no space"),
    _choice("topic-missing", "a topic is missing", "topic missing", "no topic", "topic deleted", "unknown topic"),
    _choice("certificate", "a certificate has expired", "certificate", "tls", "expired certificate"),
    _choice("clock", "a clock is wrong", "clock", "clock skew", "time"),
)  # fmt: skip
"""Some of these are the cause of no fault."""
