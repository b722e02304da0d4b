"""`make smoke STACK=…`: sends one request through a stack and follows its trace."""

from stack.settings import load_here
from stack.smoke.check import check
from stack.smoke.pipeline import check_pipeline
from stack.smoke.report import show, show_json


def smoke(stack: str, *, as_json: bool = False) -> None:
    """Runs the smoke check and prints what it measured.

    Raises:
        CheckFailure: names the hop that is missing and what to look at.
        UserError: the stack cannot be reached.
    """
    settings = load_here(stack)
    report = check(settings) if settings.services.enabled else check_pipeline(settings)
    (show_json if as_json else show)(report)
