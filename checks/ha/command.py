"""`make ha`: faults and updates on a production-like stack of three nodes under load, a row of the table for each."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from checks.ha.model import Result
from checks.ha.report import markdown, write
from checks.ha.rows import KAFKA_UPGRADED, NODES, rows
from checks.ha.run import run_row
from checks.ha.stack import running
from contracts import endpoints, versions
from contracts.errors import UserError
from local.cluster import Cluster
from local.images.catalogue import KAFKA_PREVIOUS
from local.images.commands import load as load_images
from local.preflight import require
from local.stack import prepare

DIRECTORY: Final = Path(".local/ha")


def ha(
    console: Console,
    *,
    names: Sequence[str] = (),
    minutes: float = 10,
    outage: float = 120,
    rate: float = 20,
    spans_rate: float = 100,
    small: bool = False,
) -> list[Result]:
    """Runs rows on a stack of its own, and writes their results to `.local/ha` after each.

    Args:
        console: where progress and the table are printed.
        names: the rows; all by default. `node-cut-2:120` has its own `outage`.
        minutes: the window of each row, under load, that contains the fault.
        outage: how long a fault with a duration lasts, in s; the row of the object storage has its own.
        rate: requests per second.
        spans_rate: spans per second, besides those of the requests.
        small: whether the stack has one Jaeger in place of the parts of Tempo, and no Loki.

    Raises:
        UserError: a row is unknown, or the stack does not become ready.
    """
    cluster = Cluster()
    require(cluster, len(NODES))
    prepare(cluster, len(NODES))
    if small:
        load_images([endpoints.JAEGER])
    own = dict(name.partition(":")[::2] for name in names)
    upgraded = not own or KAFKA_UPGRADED in own
    if upgraded:
        load_images([KAFKA_PREVIOUS])
    kafka = versions.KAFKA_PREVIOUS if upgraded else versions.KAFKA
    directory = DIRECTORY / time.strftime("%Y%m%d-%H%M%S")
    results: list[Result] = []
    with running(lambda line: console.print(f"  {line}"), small=small, kafka=kafka) as stack:
        known = rows(stack.cluster.workloads(), object_storage=not small)
        if unknown := [name for name in own if name not in known]:
            raise UserError(f"there is no row {unknown[0]!r}; the rows are {', '.join(known)}")
        for name in own or known:
            result = run_row(
                name,
                known[name],
                stack,
                directory / name,
                seconds=60 * minutes,
                outage=float(own.get(name) or known[name].outage or outage),
                rate=rate,
                spans_rate=spans_rate,
                on_progress=console.print,
            )
            results.append(result)
            write(results, directory)
            console.print(f"{name}: {'; '.join(result.problems) or 'as it should be'}")
    console.print(markdown(results), markup=False, soft_wrap=True)
    console.print(f"written to {directory}")
    return results
