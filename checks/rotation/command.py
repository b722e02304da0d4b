"""`make rotations`: the local stack's database password and its OTLP token get new values, with data and traffic."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import httpx
import psycopg
from rich.console import Console

from checks.chaos.cluster import LocalCluster
from checks.upgrade.change import change, show
from checks.upgrade.data import Stack, write
from contracts import endpoints, secret_keys
from stack.components.postgres.database import DATABASE, ROLE
from stack.deploy.deployment import deploy
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.polling import CheckFailure, poll_until
from stack.settings import Settings, load

_KNOWN_SECONDS: Final = 150.0
"""The kubelet updates the files of a Secret once a minute; a Collector reads them again within another minute."""


def rotate(console: Console) -> bool:
    """Changes the local stack's database password and OTLP token; returns whether nothing was lost.

    Raises:
        UserError: the stack cannot be reached, or a new value is not accepted.
    """
    settings = load("local")
    data = write(Stack(settings))
    console.print(f"the stack has {data}")
    changes = []
    for title, make in (
        ("database password", partial(_change_password, settings)),
        ("OTLP token: add a second one", partial(_add_token, settings)),
        ("OTLP token: services send it", _send_new_token),
        ("OTLP token: remove the old one", partial(_end_old_token, settings)),
    ):
        console.print(title)
        changes.append(change(title, make, data))
    return show("New values for secrets", changes, console)


def _values(settings: Settings) -> dict[str, str]:
    return read_secret(connect(settings.cluster), settings.cluster.namespace, secret_keys.SECRET)


@contextmanager
def _secret_variables(**values: str) -> Iterator[None]:
    """Sets secrets in the environment, as an operator does for a deployment."""
    variables = {secret_keys.variable(key): value for key, value in values.items()}
    os.environ.update(variables)
    try:
        yield
    finally:
        for variable in variables:
            del os.environ[variable]


def _change_password(settings: Settings) -> None:
    old, new = _values(settings)[secret_keys.POSTGRES_PASSWORD], secrets.token_urlsafe(24)
    with _secret_variables(postgresPassword=new):
        deploy("local")
    address = LocalCluster(settings).address(endpoints.POSTGRES)
    if not _opens(address, new):
        raise CheckFailure("the database does not accept its new password", "the logs of postgres-0")
    if _opens(address, old):
        raise CheckFailure("the database still accepts its old password", "the logs of postgres-0")


def _opens(address: str, password: str) -> bool:
    try:
        psycopg.connect(host=address, dbname=DATABASE, user=ROLE, password=password, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        if "password authentication failed" not in str(error):
            raise
        return False
    return True


def _add_token(settings: Settings) -> None:
    new = secrets.token_urlsafe(24)
    with _secret_variables(otlpTokenOther=new):
        deploy("local")
    _wait(settings, new, accepted=True)


def _send_new_token() -> None:
    values = _values(load("local"))
    with _secret_variables(
        otlpToken=values[secret_keys.OTLP_TOKEN_OTHER], otlpTokenOther=values[secret_keys.OTLP_TOKEN]
    ):
        deploy("local")


def _end_old_token(settings: Settings) -> None:
    old = _values(settings)[secret_keys.OTLP_TOKEN_OTHER]
    deploy("local", forget=[secret_keys.OTLP_TOKEN_OTHER])
    _wait(settings, old, accepted=False)
    _wait(settings, _values(settings)[secret_keys.OTLP_TOKEN], accepted=True)


def _wait(settings: Settings, token: str, *, accepted: bool) -> None:
    """Waits until every Collector accepts, or refuses, a token."""
    cluster = LocalCluster(settings)
    expected = httpx.codes.OK if accepted else httpx.codes.UNAUTHORIZED

    def all_answer_as_expected() -> bool:
        headers = {"authorization": f"Bearer {token}"}
        urls = [f"http://{pod.status.pod_ip}:{endpoints.OTLP_HTTP_PORT}" for pod in cluster.ready(endpoints.COLLECTOR)]
        answers = {httpx.post(f"{url}/v1/traces", json={}, headers=headers, timeout=10).status_code for url in urls}
        return answers == {expected}

    what = f"every Collector to {'accept' if accepted else 'refuse'} a token"
    poll_until(what, all_answer_as_expected, seconds=_KNOWN_SECONDS, every=1, look_at="the Collectors' logs")
