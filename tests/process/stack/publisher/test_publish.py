"""What the publisher changes in a real Grafana, what it leaves alone, and what it refuses."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import httpx
import pytest

from dashboards.catalog import RUNBOOK_FOLDER, TRACING_FOLDER, dashboards, runbooks
from dashboards.datasources import datasources, of_api
from dashboards.names import DATASOURCES, Names
from stack.clients.http import QueryError
from stack.publisher.api import GrafanaApi
from stack.publisher.content import Content, Folder
from stack.publisher.publish import Publisher
from tests.support.grafana import YourGrafana, your_grafana
from tests.support.panels import CONFIG

FOLDER: Final = "folder"


@pytest.fixture(scope="module")
def grafana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[YourGrafana]:
    with your_grafana(tmp_path_factory.mktemp("provisioning")) as running:
        yield running


def content(prefix: str, *, alerts: bool = True, **access: Any) -> Content:
    """Return what a stack with few pages has in Grafana."""
    names = Names(prefix=prefix)
    config = replace(CONFIG, names=names)
    url = "http://127.0.0.1:9"
    document = datasources(
        backend="tempo",
        traces_url=url,
        prometheus_url=url,
        loki_url=url,
        alertmanager_url=url if alerts else None,
        access=access,
        names=names,
    )
    few = dict(list(runbooks(config).items())[:2])
    return Content(
        folders=(
            Folder(uid=names.uid("tracing"), title=names.title(TRACING_FOLDER), dashboards=dashboards(config)),
            Folder(uid=names.uid("runbooks"), title=names.title(RUNBOOK_FOLDER), dashboards=few),
        ),
        datasources=tuple(of_api(document)),
        possible_datasources=tuple(names.uid(uid) for uid in DATASOURCES),
    )


@contextmanager
def publisher(grafana: YourGrafana, role: str = "Admin") -> Iterator[Publisher]:
    headers = {"Authorization": f"Bearer {grafana.token(role)}"}
    with httpx.Client(headers=headers, trust_env=False) as client:
        yield Publisher(GrafanaApi(client, grafana.url))


def settled(publisher: Publisher, expected: Content) -> None:
    """Publish until nothing is left: the first datasource of an organization becomes its default at once."""
    publisher.publish(expected)
    publisher.publish(expected)
    assert publisher.publish(expected) == []


def test_what_is_right_is_not_written_again(grafana: YourGrafana) -> None:
    with publisher(grafana) as program:
        settled(program, content("again"))
    version = grafana.read("dashboards/uid/again-services")["meta"]["version"]
    with publisher(grafana) as other_process:
        assert other_process.publish(content("again")) == []
    assert grafana.read("dashboards/uid/again-services")["meta"]["version"] == version
    assert grafana.read("datasources/uid/again-prometheus")["name"] == "Prometheus (again)"


def test_a_page_that_a_person_changed_or_moved_is_restored(grafana: YourGrafana) -> None:
    with publisher(grafana) as program:
        settled(program, content("restored"))
        model = grafana.read("dashboards/uid/restored-services")["dashboard"]
        body = {"dashboard": {**model, "title": "Mine"}, "folderUid": "restored-runbooks", "overwrite": True}
        assert grafana.admin.post("dashboards/db", json=body).is_success
        assert grafana.admin.delete("dashboards/uid/restored-overview").is_success
        changes = program.publish(content("restored"))
        assert set(changes) == {"dashboard restored-services", "dashboard restored-overview"}
    page = grafana.read("dashboards/uid/restored-services")
    assert (page["dashboard"]["title"], page["meta"]["folderUid"]) == ("Services", "restored-tracing")


def test_only_what_the_stack_had_is_deleted(grafana: YourGrafana) -> None:
    previous = content("deleted")
    with publisher(grafana) as program:
        settled(program, previous)
        mine = {"dashboard": {"uid": "mine", "title": "Mine"}, "folderUid": "deleted-tracing"}
        assert grafana.admin.post("dashboards/db", json=mine).is_success
        first, second = previous.folders
        fewer = replace(first, dashboards={"deleted-services": first.dashboards["deleted-services"]})
        after = replace(content("deleted", alerts=False), folders=(fewer, second))
        changes = program.publish(after)
        assert {
            *(f"deleted dashboard {uid}" for uid in first.dashboards if uid != "deleted-services"),
            "deleted datasource deleted-alertmanager",
        } == {change for change in changes if change.startswith("deleted")}
        settled(program, after)
    assert grafana.titles("deleted-tracing") == {"Services", "Mine"}
    assert len(grafana.titles("deleted-runbooks")) == 2


def test_two_stacks_share_a_grafana(grafana: YourGrafana) -> None:
    with publisher(grafana) as program:
        settled(program, content("one"))
        settled(program, content("two"))
        assert program.publish(content("one")) == []


def test_a_page_of_others_is_not_overwritten(grafana: YourGrafana) -> None:
    assert grafana.admin.post("folders", json={"uid": FOLDER, "title": "Theirs"}).is_success
    theirs = {"dashboard": {"uid": "taken-services", "title": "Theirs"}, "folderUid": FOLDER}
    assert grafana.admin.post("dashboards/db", json=theirs).is_success
    with publisher(grafana) as program, pytest.raises(QueryError, match=r"set another grafana\.external\.prefix"):
        program.publish(content("taken"))
    assert grafana.read("dashboards/uid/taken-services")["dashboard"]["title"] == "Theirs"


def test_credentials_are_written_once_by_each_process(grafana: YourGrafana) -> None:
    """Grafana does not show them, so a new process, which may have new ones, writes them."""
    access = {"jsonData": {"httpHeaderName1": "Authorization"}, "secureJsonData": {"httpHeaderValue1": "Bearer a"}}
    expected = content("secret", traces=access)
    for _ in range(2):
        with publisher(grafana) as program:
            assert "datasource secret-traces" in program.publish(expected)
            settled(program, expected)
    assert grafana.read("datasources/uid/secret-traces")["secureJsonFields"] == {"httpHeaderValue1": True}


@pytest.mark.parametrize("role", ["Viewer", "Editor"])
def test_a_token_with_too_few_rights_is_refused(grafana: YourGrafana, role: str) -> None:
    with publisher(grafana, role) as program, pytest.raises(QueryError, match="403"):
        program.publish(content(f"few-{role.lower()}"))


def test_an_unavailable_grafana_is_named() -> None:
    with httpx.Client() as client, pytest.raises(QueryError, match="datasources/uid/x-prometheus: ConnectError"):
        Publisher(GrafanaApi(client, "http://127.0.0.1:9")).publish(content("x"))
