"""HTTP paths of the services, and the header entry that keeps a trace."""

from typing import Final

HEALTH: Final = "/api/health"
LIVE: Final = "/api/health/live"
READY: Final = "/api/health/ready"
METRICS: Final = "/api/metrics"
TASKS: Final = "/api/tasks"
DEMO: Final = "/demo"
"""The page of the gateway that a crawl can fetch."""
PROBE_AGENT: Final = "web-crawl-probe"
SMOKE_CHECK_AGENT: Final = "web-crawl-smoke-check"
SYNTHETIC_AGENTS: Final = (PROBE_AGENT, SMOKE_CHECK_AGENT)
"""User agents whose requests are tests of the stack, not those of a user."""
KEEP_KEY: Final = "keep"
"""Key of a `tracestate` entry. A trace whose spans have `keep=1` is never sampled out; smoke checks set it."""
