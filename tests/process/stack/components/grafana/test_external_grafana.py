"""A real Grafana with datasources of others: it takes what the stack has for it in each of the three ways."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from checks.dashboards import browser
from checks.dashboards.pages import visit
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from contracts import endpoints, http
from contracts.metadata import Manifest
from stack.polling import poll_until
from stack.settings import ROOT
from tests.support.grafana import YourGrafana, your_grafana
from tests.support.program import dev_with

Objects = dict[tuple[str, str], Manifest]

_URL: Final = "https://grafana.example.com"
_FOLDERS: Final = {"grafana-tracing": "Tracing (tracing)", "grafana-runbooks": "Runbooks (tracing)"}
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


@pytest.fixture(autouse=True)
def theirs(tmp_path: Path) -> Path:
    """A folder of provisioning files with the datasources of others."""
    folder = tmp_path / "provisioning"
    (folder / "datasources").mkdir(parents=True)
    (folder / "datasources" / "theirs.yaml").write_text(yaml.safe_dump(_THEIRS))
    return folder


def built(way: dict[str, Any], **sections: Any) -> Objects:
    return dev_with(grafana={"url": _URL, "external": way}, **sections)


def pages(objects: Objects) -> dict[str, dict[str, Any]]:
    """Return uid → model of every page of the ConfigMaps."""
    files = {name: text for config_map in _FOLDERS for name, text in objects["ConfigMap", config_map]["data"].items()}
    return {name.removesuffix(".json"): json.loads(text) for name, text in files.items()}


def check(grafana: YourGrafana, objects: Objects, uids: set[str]) -> None:
    """Check that Grafana has the pages in their folders, and the datasources next to those of others."""
    titles = {model["title"] for model in pages(objects).values()}
    folders = {item["title"]: item["uid"] for item in grafana.read("folders")}
    assert {*_FOLDERS.values()} <= {*folders}
    poll_until(
        "all pages in their folders",
        lambda: set().union(*(grafana.titles(folders[title]) for title in _FOLDERS.values())) == titles,
        seconds=60,
    )
    for uid in pages(objects):
        assert grafana.read(f"dashboards/uid/{uid}"), uid
    sources = {item["uid"]: item for item in grafana.read("datasources")}
    assert set(sources) == {"prometheus", "alertmanager"} | {f"tracing-{uid}" for uid in uids}
    assert [uid for uid, item in sources.items() if item["isDefault"]] == ["prometheus"]
    query = sources["tracing-traces"]["jsonData"]["tracesToMetrics"]["queries"][0]["query"]
    assert "{$__tags}" in query


ALL: Final = {endpoints.PROMETHEUS_UID, endpoints.TRACES_UID, endpoints.LOGS_UID, endpoints.ALERTS_UID}


def copied_by_sidecars(objects: Objects, provisioning: Path, dashboards: Path) -> None:
    """Write the files that the sidecars of the chart write."""
    for file, text in objects["Secret", "grafana-datasources"]["stringData"].items():
        (provisioning / "datasources" / file).write_text(text)
    for name in _FOLDERS:
        config_map = objects["ConfigMap", name]
        directory = dashboards / config_map["metadata"]["annotations"]["grafana_folder"]
        directory.mkdir(parents=True, exist_ok=True)
        for file, text in config_map["data"].items():
            (directory / file).write_text(text)


def test_the_files_of_the_sidecars(theirs: Path, tmp_path: Path) -> None:
    objects, dashboards = built({"sidecar": {}}), tmp_path / "dashboards"
    options = {"path": str(dashboards), "foldersFromFilesStructure": True}
    provider = {**_PROVIDER, "providers": [{**_PROVIDER["providers"][0], "options": options}]}  # type: ignore[index]
    (theirs / "dashboards").mkdir()
    (theirs / "dashboards" / "provider.yaml").write_text(yaml.safe_dump(provider))
    copied_by_sidecars(objects, theirs, dashboards)
    with your_grafana(theirs) as grafana:
        poll_until("the folders", lambda: len(grafana.read("folders")) == 2, seconds=60)
        check(grafana, objects, ALL)
        # The sidecar makes Grafana read changed files.
        copied_by_sidecars(built({"sidecar": {}}, alerting={"enabled": False}), theirs, dashboards)
        assert grafana.admin.post("admin/provisioning/datasources/reload").is_success
        assert grafana.read("datasources/uid/tracing-alertmanager") is None
        assert grafana.read("datasources/uid/alertmanager")


def test_the_specifications_of_the_operators_objects(theirs: Path) -> None:
    """The operator itself is not run: its requests are those of this test."""
    objects = built({"operator": {"instanceSelector": {"dashboards": "grafana"}}})
    specs = {(kind, name): item.get("spec", {}) for (kind, name), item in objects.items()}
    with your_grafana(theirs) as grafana:
        for (kind, _), spec in specs.items():
            if kind == "GrafanaDatasource":
                assert grafana.admin.post("datasources", json={**spec["datasource"], "uid": spec["uid"]}).is_success
            if kind == "GrafanaFolder":
                assert grafana.admin.post("folders", json={"uid": spec["uid"], "title": spec["title"]}).is_success
        for (kind, _), spec in specs.items():
            if kind == "GrafanaDashboard":
                reference = spec["configMapRef"]
                model = json.loads(objects["ConfigMap", reference["name"]]["data"][reference["key"]])
                body = {"dashboard": model, "folderUid": specs["GrafanaFolder", spec["folderRef"]]["uid"]}
                assert grafana.admin.post("dashboards/db", json=body).is_success
        check(grafana, objects, ALL)


@pytest.fixture
def publisher(theirs: Path, tmp_path: Path) -> Iterator[tuple[YourGrafana, Objects, ServerProcess]]:
    """The program of the pod, with the files of its ConfigMaps."""
    objects = built({"api": {}})
    document = json.loads(objects["ConfigMap", "grafana-content"]["data"]["content.json"])
    (tmp_path / "etc").mkdir()
    for folder, name in zip(document["folders"], _FOLDERS, strict=True):
        folder["path"] = str(tmp_path / "etc" / name)
        Path(folder["path"]).mkdir()
        for file, text in objects["ConfigMap", name]["data"].items():
            (Path(folder["path"]) / file).write_text(text)
    content = tmp_path / "etc" / "content.json"
    content.write_text(json.dumps(document))
    (container,) = objects["Deployment", endpoints.GRAFANA_PUBLISHER]["spec"]["template"]["spec"]["containers"]
    with your_grafana(theirs) as grafana:
        port = free_port()
        variables = {
            "PORT": str(port),
            "GRAFANA_URL": grafana.url,
            "GRAFANA_TOKEN": grafana.token("Admin"),
            "CONTENT_FILE": str(content),
            "PYTHONPATH": str(ROOT),
        }
        assert {item["name"] for item in container["env"]} == variables.keys() - {"PYTHONPATH"}
        command = [sys.executable, *container["command"][1:]]
        ready = f"http://127.0.0.1:{port}{http.READY}"
        process = ServerProcess("publisher", command, tmp_path, lambda: answers(ready), os.environ | variables)
        try:
            process.start()
            yield grafana, objects, process
        finally:
            process.kill()


def test_the_publisher_is_ready_when_all_is_written(
    publisher: tuple[YourGrafana, Objects, ServerProcess],
) -> None:
    grafana, objects, process = publisher
    check(grafana, objects, ALL)
    assert process.stop() == 0


def test_a_token_of_a_viewer_opens_the_pages(publisher: tuple[YourGrafana, Objects, ServerProcess]) -> None:
    grafana, objects, _ = publisher
    chromium = browser.installed()
    if chromium is None:
        pytest.skip("no browser on PATH")
    runbook = pages(objects)["tracing-runbook-servicedown"]
    with browser.browser(chromium) as page:
        page.authorize(f"Bearer {grafana.token('Viewer')}")
        shots, failures = visit(page, grafana.url, [runbook], 15)
        assert not failures
        assert shots[0].panels == 1
