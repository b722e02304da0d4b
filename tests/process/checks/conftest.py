"""The three services, running, for the checks of what they emit."""

from collections.abc import Callable, Iterator

import pytest

from lean_tracing.testing import Recorder
from tests.support.system import System, running_system


@pytest.fixture(scope="module")
def system(
    kafka: str, make_recorder: Callable[[str], Recorder], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    variables = {"KAFKA_BOOTSTRAP_SERVERS": kafka}
    with running_system(variables, make_recorder, tmp_path_factory.mktemp("database")) as system:
        yield system
