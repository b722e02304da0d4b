"""What a stack has for a Grafana that it did not build, and whether a real one has it."""

import json
from pathlib import Path
from typing import Any, Final

import yaml

from contracts import endpoints
from contracts.metadata import Manifest
from stack.polling import poll_until
from tests.support.grafana import YourGrafana
from tests.support.program import dev_with

Objects = dict[tuple[str, str], Manifest]

_URL: Final = "https://grafana.example.com"
FOLDERS: Final = {"grafana-tracing": "Tracing (tracing)", "grafana-runbooks": "Runbooks (tracing)"}
"""ConfigMap → title of the folder."""
_THEIRS: Final = {
    "apiVersion": 1,
    "datasources": [
        {"name": "Prometheus", "uid": "prometheus", "type": "prometheus", "url": "http://x", "isDefault": True},
        {"name": "Alertmanager", "uid": "alertmanager", "type": "alertmanager", "url": "http://x"},
    ],
}
"""As kube-prometheus-stack has them."""
_PROVIDER: Final = {
    "apiVersion": 1,
    "providers": [{"name": "sidecarProvider", "orgId": 1, "type": "file", "updateIntervalSeconds": 10}],
}
ALL: Final = {endpoints.PROMETHEUS_UID, endpoints.TRACES_UID, endpoints.LOGS_UID, endpoints.ALERTS_UID}
"""Uids of the datasources of a stack."""


def provide_datasources(folder: Path) -> None:
    """Write the datasources of others into a folder of provisioning files."""
    (folder / "datasources").mkdir(parents=True)
    (folder / "datasources" / "theirs.yaml").write_text(yaml.safe_dump(_THEIRS))


def provide_dashboards(folder: Path, dashboards: Path) -> None:
    """Make Grafana read dashboards from a directory with a folder each, as with the values of the chart."""
    options = {"path": str(dashboards), "foldersFromFilesStructure": True}
    provider = {**_PROVIDER, "providers": [{**_PROVIDER["providers"][0], "options": options}]}  # type: ignore[index]
    (folder / "dashboards").mkdir()
    (folder / "dashboards" / "provider.yaml").write_text(yaml.safe_dump(provider))


def built(way: dict[str, Any], **sections: Any) -> Objects:
    """Return the objects of a stack whose Grafana is external, by kind and name."""
    return dev_with(grafana={"url": _URL, "external": way}, **sections)


def pages(objects: Objects) -> dict[str, dict[str, Any]]:
    """Return uid → model of every page of the ConfigMaps."""
    files = {name: text for config_map in FOLDERS for name, text in objects["ConfigMap", config_map]["data"].items()}
    return {name.removesuffix(".json"): json.loads(text) for name, text in files.items()}


def check(grafana: YourGrafana, objects: Objects, uids: set[str]) -> None:
    """Check that Grafana has the pages in their folders, and the datasources next to those of others."""
    titles = {model["title"] for model in pages(objects).values()}
    folders = {item["title"]: item["uid"] for item in grafana.read("folders")}
    assert {*FOLDERS.values()} <= {*folders}
    poll_until(
        "all pages in their folders",
        lambda: set().union(*(grafana.titles(folders[title]) for title in FOLDERS.values())) == titles,
        seconds=60,
    )
    for uid in pages(objects):
        assert grafana.read(f"dashboards/uid/{uid}"), uid
    sources = {item["uid"]: item for item in grafana.read("datasources")}
    assert set(sources) == {"prometheus", "alertmanager"} | {f"tracing-{uid}" for uid in uids}
    assert [uid for uid, item in sources.items() if item["isDefault"]] == ["prometheus"]
    query = sources["tracing-traces"]["jsonData"]["tracesToMetrics"]["queries"][0]["query"]
    assert "{$__tags}" in query
