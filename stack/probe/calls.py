"""The calls of each hop of the edge table, as the span metrics count them."""

import re
from collections.abc import Mapping
from typing import Final

from contracts import metrics
from contracts.hops import HOPS, Hop
from stack.clients.prometheus import PrometheusClient

Calls = Mapping[Hop, float]
"""Calls that the span metrics count, by hop."""


def _calls_query() -> str:
    names = "|".join(sorted({re.escape(hop.name).replace("\\", "\\\\") for hop in HOPS}))
    labels = f"{metrics.SERVICE}, {metrics.SPAN_KIND}, {metrics.SPAN_NAME}"
    return f'sum by ({labels}) ({metrics.SPAN_CALLS}{{{metrics.SPAN_NAME}=~"{names}"}})'


CALLS_QUERY: Final = _calls_query()


def count_calls(prometheus: PrometheusClient) -> Calls:
    """Counts the calls of each hop.

    Raises:
        QueryError: Prometheus does not answer.
    """
    counted = {
        (series.labels[metrics.SERVICE], series.labels[metrics.SPAN_KIND], series.labels[metrics.SPAN_NAME]): (
            series.value
        )
        for series in prometheus.query(CALLS_QUERY)
    }
    return {hop: counted.get((hop.service, f"SPAN_KIND_{hop.kind}", hop.name), 0.0) for hop in HOPS}


def uncounted(calls: Calls, previous: Calls) -> list[Hop]:
    """Returns the hops without a new call.

    A smaller number is a counter that started again and has counted a call since.
    """
    return [hop for hop in HOPS if not calls[hop] or calls[hop] == previous[hop]]
