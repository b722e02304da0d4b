"""Several real Grafanas share a Postgres: each reads what another has encrypted, with the stack's key and no other."""

import secrets
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from sqlalchemy.engine import make_url

from checks.dashboards import own_grafana
from contracts import secret_keys
from stack.components.grafana.database import database_variables
from stack.components.grafana.settings import Database
from tests.support.tls_store import TlsStore, tls_store

_PASSWORD: Final = "for-the-tests"
_TOKEN: Final = "Bearer of-a-person"


def variables(postgres: str, key: str) -> dict[str, str]:
    """The variables of a pod whose Secret has this key."""
    url = make_url(postgres)
    settings = Database(host=f"{url.host}:{url.port}", name=str(url.database), user=str(url.username), tls="disable")
    secret = {secret_keys.GRAFANA_DATABASE_PASSWORD: url.password or "none", secret_keys.GRAFANA_SECRET_KEY: key}
    items: Any = database_variables(settings, "secret")
    named = {item.name: item.value or secret[item.value_from.secret_key_ref.key] for item in items}
    return {**named, "GF_SECURITY_ADMIN_PASSWORD": _PASSWORD}


def authorization(url: str, store: TlsStore) -> str | None:
    """Return the header that a Grafana sends to the datasource of a person; None if it sends nothing."""
    store.headers.clear()
    httpx.get(f"{url}/api/datasources/proxy/uid/theirs/api/search", auth=("admin", _PASSWORD), timeout=30)
    return store.headers[-1].get("authorization") if store.headers else None


def test_credentials_are_encrypted_with_the_stacks_key(postgres: str, tmp_path: Path) -> None:
    home = own_grafana.installed()
    if home is None:
        pytest.skip("no grafana on PATH")
    folder = tmp_path / "provisioning"
    for kind in ("datasources", "dashboards", "alerting", "plugins"):
        (folder / kind).mkdir(parents=True)
    key = secrets.token_urlsafe(24)
    with tls_store(tmp_path) as store:
        datasource = {
            "name": "Theirs",
            "uid": "theirs",
            "type": "tempo",
            "access": "proxy",
            "url": store.url,
            "jsonData": {"httpHeaderName1": "Authorization", "tlsAuthWithCACert": True},
            "secureJsonData": {"httpHeaderValue1": _TOKEN, "tlsCACert": store.ca},
        }
        with own_grafana.provisioned(home, folder, variables(postgres, key)) as (url, _):
            auth = ("admin", _PASSWORD)
            assert httpx.post(f"{url}/api/datasources", json=datasource, auth=auth, timeout=30).is_success
            assert authorization(url, store) == _TOKEN
        with own_grafana.provisioned(home, folder, variables(postgres, key)) as (url, _):
            assert authorization(url, store) == _TOKEN
        with own_grafana.provisioned(home, folder, variables(postgres, secrets.token_urlsafe(24))) as (url, _):
            assert authorization(url, store) != _TOKEN, "the database alone is not enough to read it"
