"""The command of span accounting."""

import json
import re
import time
from typing import Final

from rich.console import Console

from contracts.errors import UserError
from stack.accounting.judge import account
from stack.accounting.model import Accounting
from stack.accounting.report import show
from stack.clients.http import QueryError
from stack.errors import DeployError
from stack.kubernetes.client import connect
from stack.settings import load_here
from stack.settings.monitoring import monitoring_config
from stack.stores import Stores

_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400}


def parse_duration(text: str) -> float:
    """Reads a duration such as 30m, 6h or 2d, in s.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"([1-9]\d*)([mhd])", text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 30m, 6h or 2d")
    return float(int(match[1]) * _UNITS[match[2]])


def spans(stack: str, console: Console, *, seconds: float = 3600, as_json: bool = False) -> Accounting:
    """Accounts for the spans of the last `seconds`, and prints the result.

    Raises:
        UserError: the stack cannot be reached.
    """
    settings = load_here(stack)
    config = monitoring_config(settings)
    try:
        with Stores(settings=settings, client=connect(settings.cluster)).prometheus() as prometheus:
            accounting = account(config, prometheus.query, seconds=seconds, end=time.time())
    except (DeployError, QueryError) as error:
        raise UserError(f"the spans of stack {stack} cannot be counted: {error}") from None
    if as_json:
        print(json.dumps(accounting.to_json(), indent=1))
    else:
        show(accounting, config, console)
    return accounting
