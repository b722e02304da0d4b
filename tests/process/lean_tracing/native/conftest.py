"""The compiled native part; tests that need it are skipped on a machine without a C compiler."""

from types import ModuleType

import pytest

from local.native_part import NoCompilerError
from tests.support.native_part import native_part


@pytest.fixture(scope="session")
def compiled() -> ModuleType:
    try:
        return native_part()
    except NoCompilerError as error:
        pytest.skip(f"the native part is not tested: {error}")
