"""Users sign in to a real Grafana with an identity provider, and get the role of their groups."""

import base64
import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from checks.dashboards import own_grafana
from checks.dashboards.own_grafana import Provisioning
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from stack.components.grafana.oidc import oidc_variables
from stack.components.grafana.settings import Oidc
from tests.support.http_server import Request, Response, http_server
from tests.support.programs import require_program

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

    def answer(request: Request) -> Response:
        url = urlsplit(request.path)
        if request.method == "POST":
            basic = request.headers.get("authorization", "").removeprefix("Basic ")
            tokens = state.token(_parameters(request.body.decode()), basic)
            return Response(status=400) if tokens is None else _json(tokens)
        if url.path == "/authorize":
            return Response(status=302, headers={"Location": state.authorize(_parameters(url.query))})
        is_known = request.headers.get("authorization") == "Bearer the-token"
        return _json(state.claims) if is_known else Response(status=401)

    with http_server(answer) as url:
        yield state, url


def _parameters(text: str) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(text).items()}


def _json(document: Mapping[str, Any]) -> Response:
    return Response(json.dumps(document), 200, {"Content-Type": "application/json"})


@contextlib.contextmanager
def running_grafana(authorize: str, token: str, userinfo: str) -> Iterator[tuple[str, str]]:
    """URL of a Grafana that knows a provider, and the password of `admin`."""
    home = own_grafana.installed()
    if home is None:
        pytest.skip("no grafana on PATH")
    settings = Oidc(
        client_id="grafana",
        auth_url=authorize,
        token_url=token,
        api_url=userinfo,
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


@pytest.fixture(scope="module")
def grafana(provider: tuple[Provider, str]) -> Iterator[tuple[str, str]]:
    url = provider[1]
    with running_grafana(f"{url}/authorize", f"{url}/token", f"{url}/userinfo") as running:
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


@pytest.fixture(scope="module")
def provider_of_others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An OpenID provider that was not written for these tests; with an ID token."""
    port = free_port()
    url, program = f"http://127.0.0.1:{port}", require_program("oidc-provider-mock")
    ready = f"{url}/.well-known/openid-configuration"
    directory = tmp_path_factory.mktemp("provider")
    process = ServerProcess("provider", [program, f"--port={port}"], directory, lambda: answers(ready))
    try:
        process.start()
        yield url
    finally:
        process.kill()


@pytest.fixture(scope="module")
def grafana_of_others(provider_of_others: str) -> Iterator[str]:
    url = provider_of_others
    with running_grafana(f"{url}/oauth2/authorize", f"{url}/oauth2/token", f"{url}/userinfo") as (grafana, _):
        yield grafana


@pytest.mark.parametrize(
    ("groups", "role"), [(["staff", "sre"], "Admin"), (["staff"], "Viewer"), (["sales"], None)], ids=str
)
def test_a_provider_of_others_signs_users_in(
    provider_of_others: str, grafana_of_others: str, groups: list[str], role: str | None
) -> None:
    user = f"{groups[-1]}@example.com"
    claims = {"sub": user, "email": user, "groups": groups}
    assert httpx.put(f"{provider_of_others}/users/{user}", json=claims).is_success
    with httpx.Client(follow_redirects=True, timeout=30) as browser:
        form = browser.get(f"{grafana_of_others}/login/generic_oauth")
        assert str(form.url).startswith(f"{provider_of_others}/oauth2/authorize")
        browser.post(form.url, data={"sub": user})
        organizations = browser.get(f"{grafana_of_others}/api/user/orgs")
        assert organizations.status_code == (401 if role is None else 200)
        if role is not None:
            assert [item["role"] for item in organizations.json()] == [role]
