"""One API server for the tests that deploy to one; `tests/process/conftest.py` lists their files."""

from collections.abc import Iterator

import pytest

from stack.kubernetes import wait
from tests.support.api_server import ApiServer, running


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real API server with real controllers, and deployments that look at it more often than usual."""
    with running(tmp_path_factory.mktemp("kubernetes")) as started, pytest.MonkeyPatch.context() as patch:
        patch.setattr(wait, "POLL_SECONDS", 0.05)
        started.storage_class("grows", grows=True)
        started.storage_class("fixed", grows=False)
        yield started
