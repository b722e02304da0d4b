"""`python -m service.task_manager`: serves until SIGTERM."""

import sys

from service.common.server import run
from service.task_manager.bootstrap import NAME, build
from service.task_manager.config import TaskManagerSettings

if __name__ == "__main__":
    sys.exit(run(NAME, TaskManagerSettings, build))
