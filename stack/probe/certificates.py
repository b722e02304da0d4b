"""When the certificates of the stack begin and end, as metrics. The pod has each certificate, and no key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography import x509
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from contracts import metrics

CERTIFICATE_FILE: Final = "tls.crt"
"""Name of the file, which may have the certificates of intermediate authorities after that of the server."""


class Certificates(Collector):
    """Reads the certificates at each scrape: the kubelet updates the files."""

    def __init__(self, folder: Path) -> None:
        """folder: with a folder for each server, in which a file has its certificate, as PEM."""
        self._folder = folder

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics."""
        start = _family(metrics.CERTIFICATE_START, "Time from which the certificate of a server is valid.")
        end = _family(metrics.CERTIFICATE_END, "Time at which the certificate of a server ends.")
        for file in sorted(self._folder.glob(f"*/{CERTIFICATE_FILE}")):
            certificate = x509.load_pem_x509_certificate(file.read_bytes())
            start.add_metric([file.parent.name], certificate.not_valid_before_utc.timestamp())
            end.add_metric([file.parent.name], certificate.not_valid_after_utc.timestamp())
        yield from (start, end)


def _family(name: str, description: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, description, labels=[metrics.SERVER])
