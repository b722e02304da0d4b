"""A real Grafana with datasources of others: it takes what the stack has for it in each of the three ways."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.dashboards import browser
from checks.dashboards.pages import visit
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from contracts import endpoints, http
from stack.polling import poll_until
from stack.settings import ROOT
from tests.support.external_grafana import (
    ALL,
    FOLDERS,
    Objects,
    built,
    check,
    pages,
    provide_dashboards,
    provide_datasources,
)
from tests.support.grafana import YourGrafana, your_grafana


@pytest.fixture(autouse=True)
def theirs(tmp_path: Path) -> Path:
    """A folder of provisioning files with the datasources of others."""
    folder = tmp_path / "provisioning"
    provide_datasources(folder)
    return folder


def copied_by_sidecars(objects: Objects, provisioning: Path, dashboards: Path) -> None:
    """Write the files that the sidecars of the chart write."""
    for file, text in objects["Secret", "grafana-datasources"]["stringData"].items():
        (provisioning / "datasources" / file).write_text(text)
    for name in FOLDERS:
        config_map = objects["ConfigMap", name]
        directory = dashboards / config_map["metadata"]["annotations"]["grafana_folder"]
        directory.mkdir(parents=True, exist_ok=True)
        for file, text in config_map["data"].items():
            (directory / file).write_text(text)


def test_the_files_of_the_sidecars(theirs: Path, tmp_path: Path) -> None:
    objects, dashboards = built({"sidecar": {}}), tmp_path / "dashboards"
    provide_dashboards(theirs, dashboards)
    copied_by_sidecars(objects, theirs, dashboards)
    with your_grafana(theirs) as grafana:
        poll_until("the folders", lambda: len(grafana.read("folders")) == 2, seconds=60)
        check(grafana, objects, ALL)
        # The sidecar makes Grafana read changed files.
        copied_by_sidecars(built({"sidecar": {}}, alerting={"enabled": False}), theirs, dashboards)
        assert grafana.admin.post("admin/provisioning/datasources/reload").is_success
        # Grafana answers for some seconds with datasources that it has read before.
        poll_until("the end of the datasource", lambda: grafana.read("datasources/uid/tracing-alertmanager") is None)
        assert grafana.read("datasources/uid/alertmanager")


def test_the_specifications_of_the_operators_objects(theirs: Path) -> None:
    """The requests of the operator are those of this test; `test_operator` runs the operator itself."""
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
    for folder, name in zip(document["folders"], FOLDERS, strict=True):
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
