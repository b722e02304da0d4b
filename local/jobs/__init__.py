"""Runs a graph of jobs in parallel: shows their progress, and stops all of them when one fails."""

from local.jobs.cores import Cores as Cores
from local.jobs.progress import Cancelled as Cancelled
from local.jobs.progress import Progress as Progress
from local.jobs.progress import quote as quote
from local.jobs.runner import Job as Job
from local.jobs.runner import run_jobs as run_jobs
