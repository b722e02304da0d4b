"""Users sign in to a real Grafana with an identity provider, and get the role of their groups."""

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from checks.dashboards import own_grafana
from checks.dashboards.own_grafana import Provisioning
from stack.components.grafana.oidc import oidc_variables
from stack.components.grafana.settings import Oidc

CLIENT_SECRET = "secret-of-the-client"


@dataclass
class Provider:
    """An OpenID provider for one user at a time."""

    claims: dict[str, Any] = field(default_factory=dict)
    challenge: str = ""
    """Of PKCE, from the last authorization request."""

    def authorize(self, query: Mapping[str, str]) -> str:
        """Returns where the browser goes after the user has signed in."""
        self.challenge = query["code_challenge"]
        return f"{query['redirect_uri']}?{urlencode({'code': 'the-code', 'state': query['state']})}"

    def token(self, form: Mapping[str, str], basic: str) -> dict[str, Any] | None:
        """Returns the tokens; None if the client, its code or the proof of PKCE is wrong."""
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        is_proven = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() == self.challenge
        secrets = (form.get("client_secret"), base64.b64decode(basic).decode().partition(":")[2])
        if not is_proven or form.get("code") != "the-code" or CLIENT_SECRET not in secrets:
            return None
        return {"access_token": "the-token", "token_type": "Bearer", "expires_in": 3600}


@pytest.fixture(scope="module")
def provider() -> Iterator[tuple[Provider, str]]:
    state = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path == "/authorize":
                self.send_response(302)
                query = {key: values[0] for key, values in parse_qs(url.query).items()}
                self.send_header("Location", state.authorize(query))
                self.end_headers()
            elif self.headers.get("Authorization") == "Bearer the-token":
                self._answer(state.claims)
            else:
                self.send_error(401)

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {key: values[0] for key, values in parse_qs(text).items()}
            tokens = state.token(form, self.headers.get("Authorization", "").removeprefix("Basic "))
            if tokens is None:
                self.send_error(400)
            else:
                self._answer(tokens)

        def _answer(self, document: Mapping[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Writes nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def grafana(provider: tuple[Provider, str]) -> Iterator[tuple[str, str]]:
    """URL of a Grafana that knows the provider, and the password of `admin`."""
    home = own_grafana.installed()
    if home is None:
        pytest.skip("no grafana on PATH")
    url = provider[1]
    settings = Oidc(
        client_id="grafana",
        auth_url=f"{url}/authorize",
        token_url=f"{url}/token",
        api_url=f"{url}/userinfo",
        admins=("sre",),
        editors=("developers",),
        viewers=("staff",),
        allowed_domains=("example.com",),
    )
    environment = {
        str(variable.name): str(variable.value) if variable.value_from is None else CLIENT_SECRET
        for variable in oidc_variables(settings, "stack-secrets")
    }
    nothing: dict[str, Any] = {"apiVersion": 1}
    with own_grafana.running(
        home, Provisioning(datasources=nothing, dashboards={}, runbooks={}), environment
    ) as running:
        yield running


@contextlib.contextmanager
def sign_in(grafana: str, user: Provider, **claims: Any) -> Iterator[httpx.Client]:
    """Yields the browser of a user who has gone through the provider; it has a session if Grafana accepted."""
    user.claims = {"sub": claims["email"], "name": claims["email"], **claims}
    with httpx.Client(base_url=grafana, follow_redirects=True, timeout=30) as browser:
        browser.get("/login/generic_oauth")
        yield browser


@pytest.mark.parametrize(
    ("groups", "role"), [(["staff", "sre"], "Admin"), (["developers"], "Editor"), (["staff"], "Viewer")]
)
def test_a_user_gets_the_role_of_their_groups(
    provider: tuple[Provider, str], grafana: tuple[str, str], groups: list[str], role: str
) -> None:
    with sign_in(grafana[0], provider[0], email=f"{role.lower()}@example.com", groups=groups) as browser:
        assert browser.get("/api/user").json()["email"] == f"{role.lower()}@example.com"
        assert [item["role"] for item in browser.get("/api/user/orgs").json()] == [role]


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "stranger@example.com", "groups": ["sales"]},
        {"email": "groupless@example.com"},
        {"email": "sre@elsewhere.example", "groups": ["sre"]},
    ],
    ids=["no group of ours", "no groups", "another domain"],
)
def test_other_users_are_refused(
    provider: tuple[Provider, str], grafana: tuple[str, str], claims: dict[str, Any]
) -> None:
    with sign_in(grafana[0], provider[0], **claims) as browser:
        assert browser.get("/api/user").status_code == 401


def test_the_administrator_still_signs_in_with_the_password(grafana: tuple[str, str]) -> None:
    url, password = grafana
    answer = httpx.get(f"{url}/api/user", auth=("admin", password), timeout=30)
    assert answer.json()["isGrafanaAdmin"] is True
