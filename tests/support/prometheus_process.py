"""The real Prometheus as a process of this machine, without data or with its own metrics."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from checks.harness.http import CLIENT
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from tests.support.programs import require_built

_SERVER: Final = (
    "--storage.tsdb.path=data",
    # An alert that fires before Prometheus has found its Alertmanager would wait for a minute.
    "--rules.alert.resend-delay=1s",
)
_AGENT: Final = ("--agent", "--storage.agent.path=data")


class PrometheusProcess(ServerProcess):
    """One Prometheus, and queries to it."""

    def __init__(
        self,
        directory: Path,
        *,
        scrapes_itself: bool = False,
        config: Mapping[str, Any] | None = None,
        features: str = "",
        arguments: Sequence[str] = (),
        is_agent: bool = False,
        environment: Mapping[str, str] = {},
        port: int | None = None,
    ) -> None:
        """Prepare the process.

        Args:
            directory: for its files.
            scrapes_itself: whether it scrapes its own metrics.
            config: a whole configuration, instead of one that scrapes nothing or itself.
            features: that are enabled.
            arguments: further ones.
            is_agent: whether it runs in agent mode.
            environment: further variables.
            port: of its API; a free one if None.
        """
        url = self.url = f"http://127.0.0.1:{port or free_port()}"
        own = {"job_name": "prometheus", "static_configs": [{"targets": [url.removeprefix("http://")]}]}
        interval = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
        itself = {"global": interval, "scrape_configs": [own]} if scrapes_itself else {}
        file = directory / "prometheus.yml"
        file.write_text(yaml.safe_dump(itself if config is None else dict(config)))
        command: list[str | Path] = [
            require_built("prometheus", "prometheus"),
            f"--config.file={file}",
            f"--web.listen-address={url.removeprefix('http://')}",
            *(_AGENT if is_agent else _SERVER),
            *([f"--enable-feature={features}"] if features else []),
            *arguments,
        ]
        super().__init__("prometheus", command, directory, lambda: answers(f"{url}/-/ready"), environment)

    def query(self, promql: str) -> list[Any]:
        """Return the result; fail if Prometheus refuses the query or warns about it."""
        answer = CLIENT.get(f"{self.url}/api/v1/query", params={"query": promql}, timeout=10).json()
        assert answer["status"] == "success", (promql, answer)
        assert not answer.get("warnings"), (promql, answer)
        result: list[Any] = answer["data"]["result"]
        return result

    def metrics(self, promql: str) -> set[str]:
        """Return patterns of the names of all metrics in a query, as Prometheus itself parses it."""
        answer = CLIENT.get(f"{self.url}/api/v1/parse_query", params={"query": promql}, timeout=10)
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
