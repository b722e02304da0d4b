"""`make rotations`: secrets of the local stack get new values, with data and traffic.

They are the database's passwords, the OTLP token and, with `encryption`, those of Kafka's users, the token of telemetry
and the authority. The check itself reaches pods in clear, so `encryption.telemetry` and `services` must not be `true`.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import psycopg
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from rich.console import Console

from checks.chaos.cluster import LocalCluster
from checks.rotation.certificates import renew_certificates
from checks.rotation.tokens import OTLP, TELEMETRY, Token
from checks.upgrade.change import change, show
from checks.upgrade.data import Stack, write
from contracts import endpoints, secret_keys
from stack.components.encryption.settings import STEPS
from stack.components.kafka.config import MECHANISM
from stack.components.postgres.database import DATABASE, ROLE, SERVICE_ROLE
from stack.deploy.deployment import deploy
from stack.kubernetes.client import connect
from stack.kubernetes.objects import read_secret
from stack.polling import CheckFailure
from stack.settings import Settings, load

_CHANGE_SECONDS: Final = 81
"""Ten changes took 13.5 min on two cores: each is a deployment, with requests before, in and after it."""


def rotate(console: Console) -> bool:
    """Gives secrets of the local stack new values; returns whether nothing was lost.

    Raises:
        UserError: the stack cannot be reached, or a new value is not accepted.
    """
    settings = load("local")
    data = write(Stack(settings))
    console.print(f"the stack has {data}")
    planned = list(_changes(settings))
    console.print(f"{len(planned)} changes take about {len(planned) * _CHANGE_SECONDS // 60} min on two cores")
    changes = []
    for number, (title, make) in enumerate(planned, 1):
        console.print(f"{number}/{len(planned)} {title}")
        changes.append(change(title, make, data))
    return show("New values for secrets", changes, console)


def _changes(settings: Settings) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the title of each change, and what makes it."""
    yield "database password", partial(_change_password, settings, secret_keys.POSTGRES_PASSWORD, ROLE)
    yield from _of_encryption(settings)
    yield from _of_token(OTLP, settings)


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


def _of_encryption(settings: Settings) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the changes of the secrets that encrypted connections need."""
    encryption = settings.encryption
    if encryption.postgres:
        change_password = partial(_change_password, settings, secret_keys.POSTGRES_SERVICE_PASSWORD, SERVICE_ROLE)
        yield "password of the task-manager at the database", change_password
    if encryption.kafka:
        yield "passwords of Kafka's users", partial(_change_users, settings)
    if encryption.telemetry:
        yield from _of_token(TELEMETRY, settings)
    if encryption.enabled:
        yield "certificates", partial(renew_certificates, settings)
    # Pods that trust the old authority could not send their last spans and requests, unless these go in clear.
    in_clear = not (STEPS[encryption.telemetry].speaks_tls or STEPS[encryption.services].speaks_tls)
    own_servers = encryption.kafka or (encryption.postgres and encryption.issuer is None)
    if own_servers and in_clear:
        yield "certificate authority", _change_authority


def _change_password(settings: Settings, key: str, role: str) -> None:
    old, new = _values(settings)[key], secrets.token_urlsafe(24)
    with _secret_variables(**{key: new}):
        deploy("local")
    address = LocalCluster(settings).address(endpoints.POSTGRES)
    if not _opens(address, role, new):
        raise CheckFailure("the database does not accept its new password", "the logs of postgres-0")
    if _opens(address, role, old):
        raise CheckFailure("the database still accepts its old password", "the logs of postgres-0")


def _change_users(settings: Settings) -> None:
    keys = secret_keys.KAFKA_USER_PASSWORD
    old = _values(settings)
    with _secret_variables(**{key: secrets.token_urlsafe(24) for key in keys.values()}):
        deploy("local")
    new = _values(settings)
    address = LocalCluster(settings).address(endpoints.KAFKA)
    for user, key in keys.items():
        if not _is_user(address, user, new[key]):
            raise CheckFailure(f"Kafka does not accept the new password of {user}", "the logs of kafka-users")
        if _is_user(address, user, old[key]):
            raise CheckFailure(f"Kafka still accepts the old password of {user}", "the logs of kafka-users")


def _is_user(address: str, user: str, password: str) -> bool:
    errors: list[KafkaError] = []
    configuration: dict[str, Any] = {
        "bootstrap.servers": f"{address}:{endpoints.KAFKA_TLS_PORT}",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": MECHANISM,
        "sasl.username": user,
        "sasl.password": password,
        "enable.ssl.certificate.verification": False,  # this machine does not know the brokers' names
        "log_level": 0,
        "error_cb": errors.append,
    }
    admin = AdminClient(configuration)
    try:
        admin.list_topics(timeout=10)
    except KafkaException:
        admin.poll(0)
        if KafkaError._AUTHENTICATION not in {error.code() for error in errors}:
            raise
        return False
    return True


def _change_authority() -> None:
    with _secret_variables(authoritySeed=secrets.token_urlsafe(24)):
        deploy("local")


def _opens(address: str, role: str, password: str) -> bool:
    try:
        psycopg.connect(host=address, dbname=DATABASE, user=role, password=password, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        if "password authentication failed" not in str(error):
            raise
        return False
    return True


def _of_token(token: Token, settings: Settings) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the changes in which a token gets a new value while servers accept two."""
    yield f"{token.title}: add a second one", partial(_add, token, settings)
    yield f"{token.title}: clients send it", partial(_exchange, token, settings)
    yield f"{token.title}: remove the old one", partial(_end_old, token, settings)


def _add(token: Token, settings: Settings) -> None:
    new = secrets.token_urlsafe(24)
    with _secret_variables(**{token.other: new}):
        deploy("local")
    token.wait(LocalCluster(settings), new, accepted=True)


def _exchange(token: Token, settings: Settings) -> None:
    values = _values(settings)
    with _secret_variables(**{token.key: values[token.other], token.other: values[token.key]}):
        deploy("local")


def _end_old(token: Token, settings: Settings) -> None:
    old, cluster = _values(settings)[token.other], LocalCluster(settings)
    deploy("local", forget=[token.other])
    token.wait(cluster, old, accepted=False)
    token.wait(cluster, _values(settings)[token.key], accepted=True)
