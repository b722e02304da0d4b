"""A Grafana of the check's own, from the program on this machine, for a stack that has none."""

import contextlib
import functools
import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import httpx
import yaml

from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from dashboards.catalog import RUNBOOK_FOLDER, TRACING_FOLDER, provider
from stack.clients.http import QueryError
from stack.components.grafana.address import address_variables
from stack.components.grafana.offline import OFFLINE
from stack.polling import CheckFailure, poll_until

_START_SECONDS: Final = 120.0
_DEFAULTS: Final = Path("conf/defaults.ini")


@dataclass(frozen=True, kw_only=True)
class Provisioning:
    """What Grafana reads when it starts."""

    datasources: Mapping[str, Any]
    dashboards: Mapping[str, Any]
    runbooks: Mapping[str, Any]


def installed() -> Path | None:
    """Return the home of the Grafana on `PATH`, if there is one."""
    program = shutil.which("grafana")
    if program is None:
        return None
    return next((folder for folder in Path(program).resolve().parents if (folder / _DEFAULTS).exists()), None)


@contextlib.contextmanager
def running(
    home: Path, provisioning: Provisioning, environment: Mapping[str, str] = MappingProxyType({}), *, path: str = ""
) -> Iterator[tuple[str, str]]:
    """Start Grafana with what it has, and end it.

    Args:
        home: its folder, with `bin`, `conf` and `public`.
        provisioning: what it has.
        environment: further variables.
        path: of its URL, with a slash at its begin.

    Yields:
        Its URL and the password of `admin`.

    Raises:
        QueryError: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="dashboards-check-", ignore_cleanup_errors=True) as folder:
        _write(Path(folder), provisioning)
        with provisioned(home, Path(folder), environment, path=path) as (url, password):
            try:
                _wait_for_provisioning(url, password, provisioning)
            except CheckFailure as error:
                raise QueryError(f"Grafana does not start: {error}") from error
            yield url, password


@contextlib.contextmanager
def provisioned(
    home: Path, folder: Path, environment: Mapping[str, str] = MappingProxyType({}), *, path: str = ""
) -> Iterator[tuple[str, str]]:
    """Start Grafana with a folder of provisioning files, and end it; see `running`."""
    with tempfile.TemporaryDirectory(prefix="dashboards-check-", ignore_cleanup_errors=True) as directory:
        data, password = Path(directory), secrets.token_hex(16)
        port = free_port()
        url = f"http://127.0.0.1:{port}{path}"
        variables = {
            "GF_SERVER_HTTP_ADDR": "127.0.0.1",
            "GF_SERVER_HTTP_PORT": str(port),
            "GF_SECURITY_ADMIN_PASSWORD": password,
            "GF_PATHS_DATA": str(data / "data"),
            "GF_PATHS_LOGS": str(data / "logs"),
            "GF_PATHS_PLUGINS": str(data / "plugins"),
            "GF_PATHS_PROVISIONING": str(folder),
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            **{name: _text(value) for name, value in {**OFFLINE, **address_variables(url)}.items()},
            **environment,
        }
        command: list[str | Path] = [home / "bin" / "grafana", "server", f"--homepath={home}"]
        grafana = ServerProcess("grafana", command, data, lambda: answers(f"{url}/api/health"), variables)
        try:
            try:
                grafana.start(_START_SECONDS)
            except (AssertionError, CheckFailure) as error:
                raise QueryError(f"Grafana does not start: {error}") from error
            yield url, password
        finally:
            try:
                grafana.stop()
            finally:
                grafana.kill()


def _text(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else value


def _wait_for_provisioning(url: str, password: str, provisioning: Provisioning) -> None:
    """Waits until Grafana has all that it is to have: it answers before it has read all of its files."""
    paths = [f"datasources/uid/{item['uid']}" for item in provisioning.datasources.get("datasources", ())]
    paths += [f"dashboards/uid/{uid}" for uid in (*provisioning.dashboards, *provisioning.runbooks)]
    with httpx.Client(base_url=f"{url}/api/", auth=("admin", password), timeout=10, trust_env=False) as client:
        for path in paths:
            poll_until(f"{path} in Grafana", functools.partial(_exists, client, path), seconds=_START_SECONDS)


def _exists(client: httpx.Client, path: str) -> bool:
    return client.get(path).is_success


def _write(root: Path, provisioning: Provisioning) -> None:
    folders = {TRACING_FOLDER: root / "tracing", RUNBOOK_FOLDER: root / "runbooks"}
    files: dict[Path, Mapping[str, Any]] = {
        root / "datasources" / "datasources.yaml": provisioning.datasources,
        root / "dashboards" / "providers.yaml": provider({title: str(path) for title, path in folders.items()}),
    }
    # Grafana logs an error for each of its provisioning folders that does not exist.
    for folder in (*folders.values(), *(file.parent for file in files), root / "alerting", root / "plugins"):
        folder.mkdir(parents=True, exist_ok=True)
    for file, document in files.items():
        file.write_text(yaml.safe_dump(document, sort_keys=False))
    for title, models in ((TRACING_FOLDER, provisioning.dashboards), (RUNBOOK_FOLDER, provisioning.runbooks)):
        for uid, model in models.items():
            (folders[title] / f"{uid}.json").write_text(json.dumps(model))
