"""Which cluster `make up` used in this clone, so that the next `make up` and `make down` use the same one."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / ".local" / "cluster"
KUBECONFIG: Final = FOLDER / "kubeconfig"
FILE: Final = FOLDER / "target.json"


@dataclass(frozen=True, kw_only=True)
class Target:
    """The arguments of the last `make up` with a cluster that is not the compiled one."""

    cluster: str
    context: str = ""
    image: str = ""
    registry: str = ""


def read(file: Path = FILE) -> Target | None:
    """Returns the target; None if this clone uses the compiled cluster, or none yet."""
    try:
        return Target(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write(target: Target, file: Path = FILE) -> None:
    """Writes the target, before the cluster is made: `make down` removes a cluster whose start failed, too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(target), indent=2) + "\n")
