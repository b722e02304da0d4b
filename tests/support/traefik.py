"""Traefik where it is on PATH: it serves the routes of a cluster, as a process of this machine."""

import os
import ssl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from checks.harness.ports import free_port
from checks.harness.server import ServerProcess, answers
from tests.support.programs import require_program


def request(
    port: int, certificates: ssl.SSLContext, method: str, host: str, path: str, server: str = "", **options: Any
) -> httpx.Response:
    """Send a request to a host; the certificate of the server, by default of the host, is verified."""
    with httpx.Client(verify=certificates, trust_env=False, timeout=30) as client:
        extensions = {"sni_hostname": server or host}
        url = f"https://127.0.0.1:{port}{path}"
        return client.request(method, url, headers={"Host": host}, extensions=extensions, **options)


@contextmanager
def traefik(directory: Path, kubeconfig: str | Path, providers: Collection[str], port: int) -> Iterator[None]:
    """Run it.

    Args:
        directory: for its log.
        kubeconfig: of the cluster.
        providers: of `kubernetesingress`, `kubernetesgateway` and `kubernetescrd`.
        port: where it serves TLS.
    """
    ping = free_port()
    command: list[str | Path] = [
        require_program("traefik"),
        f"--entrypoints.https.address=127.0.0.1:{port}",
        "--entrypoints.https.http.tls=true",
        f"--entrypoints.ping.address=127.0.0.1:{ping}",
        "--ping.entrypoint=ping",
        *(f"--providers.{provider}=true" for provider in providers),
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    process = ServerProcess(
        "traefik", command, directory, lambda: answers(f"http://127.0.0.1:{ping}/ping"), environment
    )
    try:
        process.start()
        yield
    finally:
        process.kill()
