"""A real Grafana behind the proxy of its pods: TLS alone, and users sign in as without it."""

import ssl
from pathlib import Path

import httpx
import pytest

from contracts import endpoints
from stack.components.encryption.proxy.config import MONITOR, ProxiedPort
from stack.polling import poll_until
from tests.support.grafana import your_grafana
from tests.support.proxied import ADDRESS, proxy


def test_users_sign_in_through_the_proxy(tmp_path: Path) -> None:
    (provisioning := tmp_path / "provisioning").mkdir()
    with your_grafana(provisioning) as grafana:
        port = httpx.URL(grafana.url).port
        assert port
        with proxy(tmp_path, [ProxiedPort(number=port, needs_token=False)]) as process:
            context = ssl.create_default_context(cafile=process.authority)
            address = f"{ADDRESS}:{port}"
            with httpx.Client(base_url=f"https://{address}", verify=context, timeout=30) as client:
                poll_until("Grafana", lambda: client.get(MONITOR).is_success)
                assert client.get(endpoints.GRAFANA_HEALTH).is_success
                assert client.get("/api/user").status_code == httpx.codes.UNAUTHORIZED
                login = {"user": "admin", "password": grafana.password}
                assert client.post("/login", json=login).is_success
                assert client.get("/api/user").json()["login"] == "admin"
            with pytest.raises(httpx.HTTPError):
                httpx.get(f"http://{address}{endpoints.GRAFANA_HEALTH}")
