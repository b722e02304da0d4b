"""Virtual environments with the packages of a lock file: links to those that are here, so that none is downloaded."""

import re
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path


def make_environment(path: Path, lock: Path) -> None:
    """Create a virtual environment.

    Args:
        path: its folder, which must not exist.
        lock: pinned packages. Those of other systems are left out.
    """
    # To link the pip that is here takes no time, to install another one takes three seconds.
    venv.create(path, with_pip=not any(distributions(name="pip")))
    (site,) = path.glob("lib/python*/site-packages")
    for name in ("pip", *re.findall(r"^([a-z0-9-]+)==", lock.read_text(), re.MULTILINE)):
        try:
            _link(distribution(name), site)
        except PackageNotFoundError:
            continue


def _link(package: Distribution, site: Path) -> None:
    for file in package.files or ():
        if file.parts[0] == ".." or "__pycache__" in file.parts:
            continue
        source, target = Path(str(package.locate_file(file))), site / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.symlink_to(source)
        # With the byte code that is there, the import of the Kubernetes and Pulumi SDKs is faster by seconds.
        compiled = source.with_name("__pycache__")
        if target.parent != site and compiled.is_dir() and not target.with_name("__pycache__").exists():
            target.with_name("__pycache__").symlink_to(compiled)
