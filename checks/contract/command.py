"""Writes the reference page of the telemetry contract."""

from checks.contract.page import PAGE, page, users
from checks.contract.shipped import shipped
from contracts.telemetry import load_registry
from stack.settings import ROOT, load

REFERENCE_STACK = "prod"
"""The stack that has every component."""


def reference_page() -> str:
    """The page, with the queries of the reference stack."""
    return page(load_registry(), users(*shipped(load(REFERENCE_STACK))))


def run() -> None:
    """The command: write the reference page."""
    (ROOT / PAGE).write_text(reference_page())
    print(f"wrote {PAGE}")
