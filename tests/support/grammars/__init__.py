"""Parses LogQL and TraceQL with the grammars of Grafana's own editors, without a store."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.programs import require_program

HERE = Path(__file__).parent
_FILES = ("package.json", "package-lock.json", "parse.js")


def mistakes(directory: Path, queries: Sequence[tuple[str, str]]) -> list[str]:
    """Return the errors in `(language, query)` pairs; skip the test if there is no Node.

    Args:
        directory: for the grammars, which npm fetches as they are pinned.
        queries: with `logql` or `traceql` as their languages.
    """
    require_program("node")
    require_program("npm")
    for name in _FILES:
        shutil.copy(HERE / name, directory)
    subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"],
        cwd=directory,
        check=True,
        capture_output=True,
        timeout=120,
    )
    done = subprocess.run(
        ["node", "parse.js"], cwd=directory, input=json.dumps(queries), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [mistake for mistake in json.loads(done.stdout) if mistake]
