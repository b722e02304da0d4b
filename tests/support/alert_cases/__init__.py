"""Simulated faults, and the alerts that must fire after each."""

from collections.abc import Mapping
from typing import Final

from tests.support.alert_cases import restart_cases, service_cases, tracing_cases
from tests.support.alert_cases.faults import Case

CASES: Final[Mapping[str, Case]] = {**service_cases.CASES, **tracing_cases.CASES, **restart_cases.CASES}
