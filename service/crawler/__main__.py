"""`python -m service.crawler`: serves until SIGTERM."""

import sys

from service.common.server import run
from service.crawler.bootstrap import NAME, build
from service.crawler.config import CrawlerSettings

if __name__ == "__main__":
    sys.exit(run(NAME, CrawlerSettings, build))
