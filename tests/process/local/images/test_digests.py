"""Digests are asked of a registry as OCI's specification says, recorded, and compared."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.failure import Failure
from local.images.digests import update, verify
from tests.support.http_server import Request, Response, http_server

TOKEN = "token-for-tests"


class Registry:
    """Serves manifests to callers that have fetched a token, as Docker Hub does."""

    def __init__(self) -> None:
        self.manifests: dict[str, bytes] = {}
        self.named = ""
        self.asked: list[str] = []
        self.url = ""

    def answer(self, request: Request) -> Response:
        self.asked.append(request.path)
        if request.path.startswith("/token?"):
            assert "service=registry" in request.path
            return Response(json.dumps({"token": TOKEN}))
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            realm = f'Bearer realm="{self.url}/token",service="registry",scope="repository:a/b:pull"'
            return Response(status=401, headers={"WWW-Authenticate": realm})
        assert "application/vnd.oci.image.index.v1+json" in request.headers["accept"]
        manifest = self.manifests.get(request.path)
        if manifest is None:
            return Response(status=404)
        return Response(manifest, headers={"Docker-Content-Digest": self.named or digest(manifest)})


def digest(manifest: bytes) -> str:
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    with http_server(registry.answer) as url:
        registry.url = url
        yield registry


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "digests.json"
    file.write_text('{"docker.io/a/old:1": "sha256:0"}')
    return file


def test_tags_are_resolved_and_recorded_and_others_are_removed(registry: Registry, file: Path) -> None:
    registry.manifests = {"/v2/a/b/manifests/1.2": b'{"manifests": []}', "/v2/c/manifests/v3": b"{}"}
    host = registry.url.removeprefix("http://")
    references = [f"{host}/a/b:1.2", f"{host}/c:v3"]
    file.write_text("{}")
    verify(references, file)
    assert not registry.asked
    file.write_text(json.dumps({references[0]: digest(b'{"manifests": []}')}))
    with pytest.raises(Failure, match=r"c:v3 is .*recorded is nothing"):
        verify(references, file)
    update(references, file)
    assert json.loads(file.read_text()) == {
        references[0]: digest(b'{"manifests": []}'),
        references[1]: digest(b"{}"),
    }
    verify(references, file)

    registry.manifests["/v2/c/manifests/v3"] = b"{ }"
    with pytest.raises(Failure, match=f"c:v3 is {digest(b'{ }')}, recorded is {digest(b'{}')}"):
        verify(references, file)


def test_a_missing_image_leaves_the_file_as_it_is(registry: Registry, file: Path) -> None:
    previous = file.read_text()
    with pytest.raises(Failure, match="404"):
        update([f"{registry.url.removeprefix('http://')}/a/b:1"], file)
    assert file.read_text() == previous


def test_a_digest_that_does_not_fit_the_content_is_refused(registry: Registry, file: Path) -> None:
    registry.manifests = {"/v2/a/b/manifests/1": b"{}"}
    registry.named = digest(b"other")
    with pytest.raises(Failure, match="sends what has"):
        update([f"{registry.url.removeprefix('http://')}/a/b:1"], file)


def test_a_registry_that_does_not_answer_is_named(file: Path) -> None:
    with pytest.raises(Failure, match=r"127\.0\.0\.1:9/a:1"):
        update(["127.0.0.1:9/a:1"], file)
