"""The real Prometheus as a process of this machine, without data or with its own metrics."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from checks.harness.ports import free_port
from stack.polling import poll_until
from tests.support.programs import require_built


class PrometheusProcess:
    """Starts, queries and ends one Prometheus."""

    def __init__(
        self,
        directory: Path,
        *,
        scrapes_itself: bool = False,
        config: Mapping[str, Any] | None = None,
        features: str = "",
    ) -> None:
        """Prepare the process.

        Args:
            directory: for its files.
            scrapes_itself: whether it scrapes its own metrics.
            config: a whole configuration, instead of one that scrapes nothing or itself.
            features: that are enabled.
        """
        self._features = [f"--enable-feature={features}"] if features else []
        self._binary = require_built("prometheus", "prometheus")
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{free_port()}"
        own = {"job_name": "prometheus", "static_configs": [{"targets": [self.url.removeprefix("http://")]}]}
        interval = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
        itself = {"global": interval, "scrape_configs": [own]} if scrapes_itself else {}
        self._config = dict(config) if config is not None else itself

    def start(self) -> None:
        """Start the process, and return when it is ready."""
        (self._directory / "prometheus.yml").write_text(yaml.safe_dump(self._config))
        with (self._directory / "log").open("wb") as log:
            process = self._process = subprocess.Popen(
                [
                    self._binary,
                    f"--config.file={self._directory}/prometheus.yml",
                    f"--storage.tsdb.path={self._directory}/data",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                    # An alert that fires before Prometheus has found its Alertmanager would wait for a minute.
                    "--rules.alert.resend-delay=1s",
                    *self._features,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

        def ready() -> bool:
            assert process.poll() is None, (self._directory / "log").read_text()[-2000:]
            try:
                return httpx.get(f"{self.url}/-/ready", timeout=2).status_code == 200
            except httpx.HTTPError:
                return False

        poll_until("Prometheus that is ready", ready, every=0.1)

    def stop(self) -> None:
        """Kill the process; it has no data to keep."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def query(self, promql: str) -> list[Any]:
        """Return the result; fail if Prometheus refuses the query or warns about it."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": promql}, timeout=10).json()
        assert answer["status"] == "success", (promql, answer)
        assert not answer.get("warnings"), (promql, answer)
        result: list[Any] = answer["data"]["result"]
        return result

    def metrics(self, promql: str) -> set[str]:
        """Return patterns of the names of all metrics in a query, as Prometheus itself parses it."""
        answer = httpx.get(f"{self.url}/api/v1/parse_query", params={"query": promql}, timeout=10)
        assert answer.status_code == 200, (promql, answer.text)
        names: set[str] = set()

        def walk(node: Any) -> None:
            if isinstance(node, list):
                for item in node:
                    walk(item)
            elif isinstance(node, dict):
                # The name of a selector is also one of its matchers.
                for matcher in node.get("matchers") or ():
                    if matcher["name"] == "__name__":
                        names.add(re.escape(matcher["value"]) if matcher["type"] == "=" else matcher["value"])
                for item in node.values():
                    walk(item)

        walk(answer.json()["data"])
        return names
