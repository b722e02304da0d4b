"""Google Cloud Storage and Azure Blob Storage for tests: servers of this machine with their APIs.

The stores have the configuration of a stack, unchanged: a proxy leads the clouds' host names to these servers, whose
certificates are those of the clouds' host names.
"""

import base64
import hashlib
import hmac
import json
import ssl
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from xml.etree import ElementTree

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from checks.harness.certificates import self_signed
from checks.harness.ports import free_port
from checks.harness.server import ServerProcess
from stack.components.shared.object_storage import AZURE_KEY_VARIABLE, Azure, Gcs, ObjectStorage
from tests.support.connect_proxy import connect_proxy
from tests.support.http_server import Request, Response, http_server
from tests.support.programs import require_program

_BUCKET: Final = "telemetry"
_GOOGLE: Final = "storage.googleapis.com"
_GOOGLE_TOKENS: Final = "oauth2.googleapis.com"
_ACCOUNT: Final = "telemetryaccount"
_AZURE_VERSION: Final = "2021-12-02"


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A cloud with one bucket."""

    storage: ObjectStorage
    """The settings of a client."""
    environment: Mapping[str, str]
    """Variables of a client: its access, the proxy, and the certificates."""
    _bucket: "_GoogleBucket | _AzureContainer"

    def objects(self, prefix: str) -> list[str]:
        """Return the names of the objects with a prefix."""
        return [name for name in self._bucket.objects() if name.startswith(prefix)]


@contextmanager
def cloud(kind: str, directory: Path, prefix: str) -> Iterator[Cloud]:
    """Run a cloud in a directory: `gcs` or `azure`; skip the test without its program."""
    directory.mkdir()
    with {"gcs": _google, "azure": _azure}[kind](directory, prefix) as running:
        yield running


class _Certificate:
    """The certificate of a host name."""

    def __init__(self, directory: Path, host: str) -> None:
        key, certificate = self_signed(host)
        self.key, self.file = directory / f"{host}.key", directory / f"{host}.pem"
        self.key.write_bytes(key)
        self.file.write_bytes(certificate)

    def client(self, port: int) -> httpx.Client:
        """Return a client of the server with this certificate; the name is not that of its address."""
        context = ssl.create_default_context(cafile=str(self.file))
        context.check_hostname = False
        return httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, trust_env=False, timeout=10)


class _GoogleBucket:
    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def is_ready(self) -> bool:
        try:
            return self._client.get("/storage/v1/b?project=tests").is_success
        except httpx.HTTPError:
            return False

    def make(self) -> None:
        assert self._client.post("/storage/v1/b?project=tests", json={"name": _BUCKET}).is_success

    def objects(self) -> list[str]:
        items = self._client.get(f"/storage/v1/b/{_BUCKET}/o").json().get("items", [])
        return [item["name"] for item in items]


@contextmanager
def _google(directory: Path, prefix: str) -> Iterator[Cloud]:
    program, port = require_program("fake-gcs-server"), free_port()
    certificate, of_tokens = (_Certificate(directory, host) for host in (_GOOGLE, _GOOGLE_TOKENS))
    trusted = directory / "trusted.pem"
    trusted.write_bytes(certificate.file.read_bytes() + of_tokens.file.read_bytes())
    command: list[str | Path] = [program, "-backend=filesystem", f"-filesystem-root={directory / 'objects'}"]
    command += ["-host=127.0.0.1", f"-port={port}", f"-public-host={_GOOGLE}", "-log-level=warn"]
    command += [f"-cert-location={certificate.file}", f"-private-key-location={certificate.key}"]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(of_tokens.file, of_tokens.key)

    def token(request: Request) -> Response:
        if b"assertion=" not in request.body:
            return Response("{}", status=401)
        answer = {"access_token": uuid.uuid4().hex, "token_type": "Bearer", "expires_in": 3600}
        return Response(json.dumps(answer), headers={"Content-Type": "application/json"})

    with certificate.client(port) as client, http_server(token, tls=tls) as tokens:
        bucket = _GoogleBucket(client)
        server = ServerProcess("fake-gcs-server", command, directory, bucket.is_ready)
        try:
            server.start()
            bucket.make()
            with connect_proxy({_GOOGLE: port, _GOOGLE_TOKENS: urlsplit(tokens).port or 0}) as proxy:
                key_file = directory / "service-account.json"
                key_file.write_text(json.dumps(_service_account()))
                yield Cloud(
                    storage=ObjectStorage(gcs=Gcs(bucket=_BUCKET), prefix=prefix),
                    environment={
                        **proxy,
                        "SSL_CERT_FILE": str(trusted),
                        "GOOGLE_APPLICATION_CREDENTIALS": str(key_file),
                    },
                    _bucket=bucket,
                )
        finally:
            server.kill()


def _service_account() -> dict[str, str]:
    """Return the key file of a service account, as Google makes it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "stores@tests.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"https://{_GOOGLE_TOKENS}/token",
    }


class _AzureContainer:
    """A container, by requests that its account's key signs.

    https://learn.microsoft.com/en-us/rest/api/storageservices/authorize-with-shared-key
    """

    def __init__(self, client: httpx.Client, key: bytes) -> None:
        self._client = client
        self._key = key

    def is_ready(self) -> bool:
        try:
            return self._send("GET", "", comp="list").is_success
        except httpx.HTTPError:
            return False

    def make(self) -> None:
        assert self._send("PUT", _BUCKET, restype="container").is_success

    def objects(self) -> list[str]:
        answer = self._send("GET", _BUCKET, comp="list", restype="container")
        return [item.text or "" for item in ElementTree.fromstring(answer.text).iter("Name")]

    def _send(self, method: str, path: str, **parameters: str) -> httpx.Response:
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _AZURE_VERSION}
        query = [f"{name}:{value}" for name, value in sorted(parameters.items())]
        named = [f"{name}:{value}" for name, value in headers.items()]
        text = "\n".join([method, *[""] * 11, *named, f"/{_ACCOUNT}/{path}", *query])
        signature = base64.b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256)).decode()
        headers |= {"Host": _host(), "Authorization": f"SharedKey {_ACCOUNT}:{signature}"}
        return self._client.request(method, f"/{path}", params=parameters, headers=headers)


def _host() -> str:
    return f"{_ACCOUNT}.blob.core.windows.net"


@contextmanager
def _azure(directory: Path, prefix: str) -> Iterator[Cloud]:
    program, port = require_program("azurite-blob"), free_port()
    certificate, key = _Certificate(directory, _host()), uuid.uuid4().bytes * 4
    text = base64.b64encode(key).decode()
    command: list[str | Path] = [program, "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    command += ["--location", directory, "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    command += ["--cert", certificate.file, "--key", certificate.key]
    with certificate.client(port) as client:
        container = _AzureContainer(client, key)
        accounts = {"AZURITE_ACCOUNTS": f"{_ACCOUNT}:{text}"}
        server = ServerProcess("azurite-blob", command, directory, container.is_ready, accounts)
        try:
            server.start()
            container.make()
            with connect_proxy({_host(): port}) as proxy:
                yield Cloud(
                    storage=ObjectStorage(azure=Azure(account=_ACCOUNT, container=_BUCKET), prefix=prefix),
                    environment={**proxy, "SSL_CERT_FILE": str(certificate.file), AZURE_KEY_VARIABLE: text},
                    _bucket=container,
                )
        finally:
            server.kill()
