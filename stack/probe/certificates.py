"""When the certificates of the stack end, as a metric. Each Secret with one also has the time at which it ends."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from contracts import metrics

END_FILE: Final = "end"
"""Name of the file."""


class Certificates(Collector):
    """Reads the times at each scrape: the kubelet updates the files."""

    def __init__(self, folder: Path) -> None:
        """folder: with a folder for each server, in which a file has the time, in s since 1970."""
        self._folder = folder

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metric."""
        family = GaugeMetricFamily(
            metrics.CERTIFICATE_END, "Time at which the certificate of a server ends.", labels=[metrics.SERVER]
        )
        for file in sorted(self._folder.glob(f"*/{END_FILE}")):
            family.add_metric([file.parent.name], float(file.read_text()))
        yield family
