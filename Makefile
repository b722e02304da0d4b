# `make up` brings everything up on this machine, `make test` tests it; `make help` lists the rest.
STACK ?= local
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
LOCK := --quiet --python-version 3.11 --universal --generate-hashes --no-header --no-annotate
# Importing the Kubernetes and Pulumi SDKs takes seconds where their byte code may not be kept.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help up down dev deploy rollout smoke spans dashboards-check render test check lint types lock schema clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: Python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0] + "; set PYTHON=")'
	@echo "installing the Python packages into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --no-compile --require-hashes --requirement requirements.lock
	@touch $@

up: $(VENV)/installed ## cluster, images, stack `local`, smoke check
	@$(RUN) -m local.stack

down: $(VENV)/installed ## end the local cluster and all it put on this machine
	@$(RUN) -m local down

dev: $(VENV)/installed ## the three services in one process, their traces drawn as trees; ARGS="--task URL" for one task
	@$(RUN) -m service.dev $(ARGS)

deploy: $(VENV)/installed ## deploy STACK and check it (ARGS="--forget=SECRET --leave-queues", SECRET_…=… for a new value)
	@$(RUN) -m stack.deploy.deployment $(STACK) $(ARGS)
	@$(RUN) -m stack.smoke --stack $(STACK)

smoke: $(VENV)/installed ## follow one request through STACK
	@$(RUN) -m stack.smoke --stack $(STACK)

rollout: $(VENV)/installed ## bring a changed image or tracing to STACK in gated steps (ARGS=--plan, ARGS=--abort)
	@$(RUN) -m stack.rollout $(STACK) $(ARGS)

.PHONY: config drift destroy
config: $(VENV)/installed ## every setting of STACK with the file and line that it comes from (ARGS=--json)
	@$(RUN) -m stack.settings.origins $(STACK) $(ARGS)

drift: $(VENV)/installed ## show what in the cluster is not as STACK declares it (exit code 1: something is not)
	@$(RUN) -m stack.deploy.drift $(STACK)

destroy: $(VENV)/installed ## remove all that STACK made, after you typed its name (ARGS="--yes --delete-data")
	@$(RUN) -m stack.deploy.destroy $(STACK) $(ARGS)

spans: $(VENV)/installed ## how many spans of STACK came how far, and where any are missing (ARGS="--since=6h")
	@$(RUN) -m stack.accounting $(STACK) $(ARGS)

render: $(VENV)/installed ## write the manifests of STACK to .local/manifests
	@$(RUN) -m stack.deploy.render $(STACK) --output .local/manifests/$(STACK).yaml

test: check ## all tests, those on the real local cluster included
	@$(RUN) -m tests

.PHONY: bench capacity coverage outage chaos detect
bench: $(VENV)/installed ## measure what tracing costs: bare, stock, ours (ARGS=--quick)
	@$(RUN) -m checks.bench $(ARGS)

capacity: $(VENV)/installed ## measure the spans that a Collector takes with one core, beside a plain one (ARGS=--rounds=2)
	@$(RUN) -m checks.bench.capacity $(ARGS)

outage: $(VENV)/installed ## take the Collector away for five minutes under load, and count (ARGS=--seconds=60)
	@$(RUN) -m checks.bench.collector_outage $(ARGS)

coverage: $(VENV)/installed ## hold 10,000 operations' traces against the ledger of what was done
	@$(RUN) -m checks.coverage --stack $(STACK) $(ARGS)

.PHONY: rollouts
rollouts: $(VENV)/installed ## roll versions out on the local stack under load: good ones, bad ones, one that is killed (ARGS=--only=slow)
	@$(RUN) -m checks.rollouts $(ARGS)

.PHONY: upgrades
upgrades: $(VENV)/installed ## from the release before to this one and back, with data in place and under traffic (ARGS=--from=COMMIT)
	@$(RUN) -m checks.upgrade $(ARGS)

.PHONY: rotations
rotations: $(VENV)/installed ## give the local stack's secrets new values, with data in place and under traffic
	@$(RUN) -m checks.rotation

chaos: $(VENV)/installed ## kill Collectors and the store under load, then look up every acknowledged span (ARGS="--spans=100000 --away=60")
	@$(RUN) -m checks.chaos $(ARGS)

detect: $(VENV)/installed ## put faults into the local stack, and measure the time until an alert tells of each (ARGS=--quiet=3600: no faults, no alarms)
	@$(RUN) -m checks.detect $(ARGS)

dashboards-check: $(VENV)/installed ## run every query of STACK's dashboards, follow the links, draw a report (ARGS=--minutes=60)
	@$(RUN) -m checks.dashboards $(STACK) $(ARGS)

check: lint types

lint: $(VENV)/installed
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

types: $(VENV)/installed
	@$(RUN) -m mypy

schema: $(VENV)/installed ## write the JSON Schema of the stack files anew
	@$(RUN) -m stack.settings --schema > stack/settings.schema.json

lock: ## pin the requirements anew (needs uv)
	@uv pip compile $(LOCK) requirements.in -o requirements.lock
	@uv pip compile $(LOCK) -c requirements.lock service/requirements.in -o service/requirements.lock

clean: down ## also remove the Python environment and generated files
	@rm -rf $(VENV) .local
