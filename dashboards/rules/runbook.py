"""The runbooks, and the query with which each begins."""

import re
import textwrap
from pathlib import Path
from typing import Final

RUNBOOKS: Final = Path(__file__).parent.parent / "runbooks"

_DIAGNOSIS: Final = re.compile(r"^## Diagnosis$(.*?)^## ", re.MULTILINE | re.DOTALL)
_PROMQL: Final = re.compile(r"^ *```promql\n(.*?)\n *```$", re.MULTILINE | re.DOTALL)


def first_query(alert: str, own_query: str) -> str:
    """Return the PromQL with which the diagnosis of an alert begins.

    It is the first PromQL block below "Diagnosis" in the alert's runbook; where there is none, the alert's own query.
    """
    file = RUNBOOKS / f"{alert}.md"
    diagnosis = _DIAGNOSIS.search(file.read_text()) if file.exists() else None
    block = _PROMQL.search(diagnosis[1]) if diagnosis else None
    return textwrap.dedent(block[1]) if block else own_query
