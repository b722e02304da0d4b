"""A real S3 server as a process of this machine: versitygw, with TLS, and a folder for each bucket.

It is a published Go module under the Apache licence, and compiles in a minute to one program of 45 MB. SeaweedFS is a
cluster of several kinds of servers, and s3proxy needs Java and some hundred MB of Maven artifacts.
"""

import ssl
from pathlib import Path
from typing import Final

import httpx

from checks.harness.ports import free_port
from checks.harness.server import ServerProcess
from local.golang import go_build
from local.jobs import Progress
from local.paths import Home

ACCESS: Final = {"AWS_ACCESS_KEY_ID": "user-for-tests", "AWS_SECRET_ACCESS_KEY": "key-for-tests"}
"""Variables with which clients get access."""

_MODULE: Final = Path(__file__).parent / "versitygw"


def binary() -> Path:
    """Return versitygw, which is compiled if it has not been.

    Raises:
        Failure: this machine cannot compile it.
    """
    home = Home.default()
    output = home.bin / "versitygw"
    progress = Progress("versitygw", logs=home.logs)
    go_build(progress, _MODULE, output, package="github.com/versity/versitygw/cmd/versitygw")
    return output


class S3Server(ServerProcess):
    """One server; its buckets stay on the disk."""

    def __init__(self, directory: Path, key: bytes, certificate: bytes, host: str = "localhost") -> None:
        """Prepares the process.

        Args:
            directory: where its files are.
            key: of its certificate, as PEM.
            certificate: for the host, as PEM.
            host: name or address at which it listens.
        """
        self.endpoint = f"{host}:{(port := free_port())}"
        self._buckets = directory / "buckets"
        self._buckets.mkdir(parents=True)
        self._ca = directory / "certificate.pem"
        self._ca.write_bytes(certificate)
        (directory / "key.pem").write_bytes(key)
        command: list[str | Path] = [binary(), "--port", f"{host}:{port}", "--quiet"]
        command += ["--access", ACCESS["AWS_ACCESS_KEY_ID"], "--secret", ACCESS["AWS_SECRET_ACCESS_KEY"]]
        command += ["--cert", self._ca, "--key", directory / "key.pem"]
        command += ["posix", "--sidecar", self._folder(directory / "metadata"), self._buckets]
        super().__init__("versitygw", command, directory, self._answers)

    def make_bucket(self, name: str) -> Path:
        """Make a bucket; return the folder with its objects."""
        return self._folder(self._buckets / name)

    def _answers(self) -> bool:
        try:
            httpx.get(f"https://{self.endpoint}", verify=ssl.create_default_context(cafile=self._ca), timeout=5)
        except httpx.HTTPError:
            return False
        return True

    def _folder(self, path: Path) -> Path:
        path.mkdir()
        return path
