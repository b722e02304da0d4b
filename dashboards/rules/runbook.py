"""The runbooks, and the query with which each begins."""

import re
import textwrap
from pathlib import Path
from typing import Final

RUNBOOKS: Final = Path(__file__).parent.parent / "runbooks"

_DIAGNOSIS: Final = re.compile(r"^## Diagnosis$(.*?)^## ", re.MULTILINE | re.DOTALL)
_PROMQL: Final = re.compile(r"^ *```promql\n(.*?)\n *```$", re.MULTILINE | re.DOTALL)


def first_query(alert: str) -> str:
    """Return the PromQL with which the diagnosis of an alert begins: the first such block of its runbook.

    Raises:
        ValueError: the runbook has none.
    """
    diagnosis = _DIAGNOSIS.search((RUNBOOKS / f"{alert}.md").read_text())
    block = _PROMQL.search(diagnosis[1]) if diagnosis else None
    if block is None:
        raise ValueError(f"{alert}.md: the diagnosis has no PromQL")
    return textwrap.dedent(block[1])
