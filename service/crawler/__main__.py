"""`python -m service.crawler`: serves until SIGTERM."""

import sys

from contracts.services import CRAWLER
from service.common.server import run
from service.crawler.bootstrap import build
from service.crawler.config import CrawlerSettings

if __name__ == "__main__":
    sys.exit(run(CRAWLER, CrawlerSettings, build))
