"""A real Grafana whose URL has a path: redirects, assets, the API and the health check work below it."""

import re
from collections.abc import Iterator
from typing import Final

import httpx
import pytest

from checks.dashboards import browser, own_grafana
from checks.dashboards.connection import password_login
from checks.dashboards.own_grafana import Provisioning
from checks.dashboards.pages import visit
from contracts import endpoints
from dashboards import catalog, overview
from stack.components.grafana.address import alive_path
from tests.support.panels import CONFIG

PATH: Final = "/grafana"
_RUNBOOKS: Final = dict(list(catalog.runbooks(CONFIG).items())[:1])


@pytest.fixture(scope="module")
def grafana() -> Iterator[tuple[str, str]]:
    home = own_grafana.installed()
    if home is None:
        pytest.skip("no grafana on PATH")
    pages = {overview.DASHBOARD.uid: overview.DASHBOARD.model(CONFIG)}
    provisioning = Provisioning(datasources={"apiVersion": 1}, dashboards=pages, runbooks=_RUNBOOKS)
    with own_grafana.running(home, provisioning, path=PATH) as (url, password):
        yield url, password


def test_a_visitor_is_redirected_below_the_path(grafana: tuple[str, str]) -> None:
    url, _ = grafana
    host = url.removesuffix(PATH)
    for asked in ("/", f"{PATH}/", f"{PATH}/d/services"):
        answer = httpx.get(f"{host}{asked}", timeout=30)
        assert answer.is_redirect, asked
        assert httpx.URL(answer.headers["location"]).path.startswith(f"{PATH}/"), asked


def test_the_assets_of_the_page_are_below_the_path(grafana: tuple[str, str]) -> None:
    url, _ = grafana
    page = httpx.get(f"{url}/login", timeout=30)
    assets = re.findall(r'(?:src|href)="([^"]+\.(?:js|css))"', page.text)
    assert assets
    base = re.search(r'<base href="([^"]+)"', page.text)
    assert base
    assert base[1] == f"{PATH}/"
    for asset in assets:
        answer = httpx.get(httpx.URL(f"{url}/").join(asset), timeout=30)
        assert answer.status_code == 200, asset


def test_the_kubelet_s_probes_are_answered(grafana: tuple[str, str]) -> None:
    url, _ = grafana
    for path in (endpoints.GRAFANA_HEALTH, alive_path(url)):
        assert httpx.get(f"{url.removesuffix(PATH)}{path}", timeout=30).status_code == 200


def test_a_page_is_drawn_below_the_path(grafana: tuple[str, str]) -> None:
    url, password = grafana
    chromium = browser.installed()
    if chromium is None:
        pytest.skip("no browser on PATH")
    with browser.browser(chromium) as page:
        page.authorize(password_login(url, password).authorization)
        shots, failures = visit(page, url, list(_RUNBOOKS.values()), 15)
        assert not failures
        assert shots[0].panels == 1
        menu = page.evaluate("[...document.querySelectorAll('a[href]')].map((a) => a.getAttribute('href'))")
    inside = [link for link in menu if link.startswith("/")]
    assert inside
    assert all(link.startswith(f"{PATH}/") for link in inside), inside
