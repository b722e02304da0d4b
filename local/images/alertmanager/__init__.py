"""Makes Alertmanager's sources complete.

Since 0.32 its module does not contain the pages that it embeds, and without a page it does not compile. A page of this
project replaces them.
"""

import gzip
import hashlib
import shutil
from pathlib import Path
from typing import Final

from local.golang import ENVIRONMENT
from local.images.cache import LayerCache
from local.jobs import Progress
from local.paths import Home

PACKAGE: Final = "github.com/prometheus/alertmanager/cmd/alertmanager"

_HERE: Final = Path(__file__).parent
_MODULE: Final = "github.com/prometheus/alertmanager"
_PAGE: Final = "ui/app/dist/elm/index.html.gz"  # the path of the page that it opens first
_PARTS: Final = ("go.mod", "go.sum", "index.html")
_RECIPE: Final = 1  # raise it when this module makes other sources of the same parts


def sources(home: Home) -> Path:
    """The directory that `complete` makes. Its name contains a hash of the inputs."""
    digest = hashlib.sha256(str(_RECIPE).encode())
    for part in _PARTS:
        digest.update((_HERE / part).read_bytes())
    return home.root / "sources" / f"alertmanager-{digest.hexdigest()[:16]}"


def complete(progress: Progress, home: Home) -> Path:
    """Makes a module that compiles `PACKAGE`. It contains a copy of Alertmanager's module, which go.sum verifies."""
    target = sources(home)
    with LayerCache(home.images).lock("alertmanager", progress):
        if target.exists():
            return target
        for old in target.parent.glob("*alertmanager-*"):
            shutil.rmtree(old)
        unfinished = target.with_name(f".{target.name}")
        _copy(_fetched(progress), unfinished / "alertmanager")
        replaced = f"\nreplace {_MODULE} => ./alertmanager\n"
        (unfinished / "go.mod").write_text((_HERE / "go.mod").read_text() + replaced)
        shutil.copyfile(_HERE / "go.sum", unfinished / "go.sum")
        unfinished.rename(target)
    return target


def _fetched(progress: Progress) -> Path:
    """The directory where Go keeps the published module."""
    progress.step("fetching Alertmanager")
    progress.run(["go", "mod", "download", _MODULE], cwd=_HERE, env=ENVIRONMENT, timeout=600)
    answer: list[str] = []
    progress.run(["go", "list", "-m", "-f", "{{.Dir}}", _MODULE], cwd=_HERE, env=ENVIRONMENT, on_line=answer.append)
    return Path(answer[-1])


def _copy(module: Path, to: Path) -> None:
    """Copies the files that are compiled, and the page."""
    for file in module.rglob("*"):
        if file.suffix in (".go", ".tmpl") or file == module / "go.mod":
            place = to / file.relative_to(module)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    page = to / _PAGE
    page.parent.mkdir(parents=True)
    page.write_bytes(gzip.compress((_HERE / "index.html").read_bytes(), mtime=0))
