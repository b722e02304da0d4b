"""A real Grafana with service accounts, as one that a stack did not build."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from checks.dashboards import own_grafana
from stack.clients.http import json_of

_numbers = count()


@dataclass(frozen=True, kw_only=True)
class YourGrafana:
    """A Grafana that has objects of others."""

    url: str
    admin: httpx.Client
    """Sends the password of `admin` to paths below its API."""
    password: str
    """Of `admin`."""

    def token(self, role: str) -> str:
        """Return the token of a new service account."""
        name = f"tracing-{next(_numbers)}"
        account = json_of(self.admin.post("serviceaccounts", json={"name": name, "role": role}))
        return str(json_of(self.admin.post(f"serviceaccounts/{account['id']}/tokens", json={"name": name}))["key"])

    def read(self, path: str, **parameters: Any) -> Any:
        """Return what is there; None if there is nothing."""
        answer = self.admin.get(path, params=parameters)
        return None if answer.status_code == 404 else json_of(answer)

    def titles(self, folder: str) -> set[str]:
        """Return the titles of the dashboards in a folder, by its uid."""
        return {item["title"] for item in self.read("search", type="dash-db", folderUIDs=folder)}


@contextmanager
def your_grafana(folder: Path) -> Iterator[YourGrafana]:
    """Start it with a folder of provisioning files, and end it; skips the test where there is none."""
    home = own_grafana.installed()
    if home is None:
        pytest.skip("no grafana on PATH")
    for kind in ("datasources", "dashboards", "alerting", "plugins"):
        (folder / kind).mkdir(exist_ok=True)
    with (
        own_grafana.provisioned(home, folder) as (url, password),
        httpx.Client(base_url=f"{url}/api/", auth=("admin", password), timeout=30, trust_env=False) as admin,
    ):
        yield YourGrafana(url=url, admin=admin, password=password)
