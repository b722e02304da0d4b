# `make up` brings everything up on this machine, `make test` tests it; `make help` lists the rest.
STACK ?= local
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
LOCK := --quiet --python-version 3.11 --universal --generate-hashes --no-header --no-annotate
# Without cached byte code, the import of the Kubernetes and Pulumi SDKs takes seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help up down dev deploy rollout smoke spans dashboards-check render test check lint types lock schema clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: Python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0] + "; set PYTHON=")'
	@echo "installing the Python packages into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --no-compile --require-hashes --requirement requirements.lock
	@touch $@

up: $(VENV)/installed ## start a cluster on this machine, build the images, deploy the stack `local`, run the smoke check
	@$(RUN) -m local.stack

down: $(VENV)/installed ## stop the local cluster and remove what it created on this machine
	@$(RUN) -m local down

dev: $(VENV)/installed ## run the three services in one process and draw their traces as trees (ARGS="--task URL": one task)
	@$(RUN) -m service.dev $(ARGS)

deploy: $(VENV)/installed ## deploy STACK and run the smoke check (SECRET_…=… sets a secret; ARGS="--forget=SECRET --leave-queues")
	@$(RUN) -m stack.deploy.deployment $(STACK) $(ARGS)
	@$(RUN) -m stack.smoke --stack $(STACK)

smoke: $(VENV)/installed ## send one request through STACK and check every hop of its trace
	@$(RUN) -m stack.smoke --stack $(STACK)

rollout: $(VENV)/installed ## roll out a changed image or tracing to STACK in gated steps (ARGS=--plan, ARGS=--abort)
	@$(RUN) -m stack.rollout $(STACK) $(ARGS)

.PHONY: config drift destroy
config: $(VENV)/installed ## print every setting of STACK with its file and line (ARGS=--json)
	@$(RUN) -m stack.settings.origins $(STACK) $(ARGS)

drift: $(VENV)/installed ## compare the cluster with STACK (exit code 0: no drift; 1: drift; 2: the comparison failed)
	@$(RUN) -m stack.deploy.drift $(STACK)

destroy: $(VENV)/installed ## remove everything that STACK created, after you type its name (ARGS="--yes --delete-data")
	@$(RUN) -m stack.deploy.destroy $(STACK) $(ARGS)

spans: $(VENV)/installed ## count the spans of STACK at each stage, and show where spans are lost (ARGS="--since=6h")
	@$(RUN) -m stack.accounting $(STACK) $(ARGS)

render: $(VENV)/installed ## write the manifests of STACK to .local/manifests
	@$(RUN) -m stack.deploy.render $(STACK) --output .local/manifests/$(STACK).yaml

test: check ## run all tests, including those on the local cluster
	@$(RUN) -m tests

.PHONY: bench capacity coverage outage chaos detect
bench: $(VENV)/installed ## measure the cost of tracing: none, stock instrumentation, this library (ARGS=--quick)
	@$(RUN) -m checks.bench $(ARGS)

capacity: $(VENV)/installed ## measure the spans per second and core of this Collector and of a plain one (ARGS=--rounds=2)
	@$(RUN) -m checks.bench.capacity $(ARGS)

outage: $(VENV)/installed ## stop the Collector for five minutes under load, and count the lost spans (ARGS=--seconds=60)
	@$(RUN) -m checks.bench.collector_outage $(ARGS)

coverage: $(VENV)/installed ## run 10,000 operations and compare each trace with a ledger of what really happened
	@$(RUN) -m checks.coverage --stack $(STACK) $(ARGS)

.PHONY: rollouts
rollouts: $(VENV)/installed ## roll out good and bad versions on the local stack under load (ARGS=--only=slow)
	@$(RUN) -m checks.rollouts $(ARGS)

.PHONY: upgrades
upgrades: $(VENV)/installed ## upgrade from the previous release, and downgrade again, with data and traffic (ARGS=--from=COMMIT)
	@$(RUN) -m checks.upgrade $(ARGS)

.PHONY: rotations
rotations: $(VENV)/installed ## give the local stack's secrets new values, with data and traffic
	@$(RUN) -m checks.rotation

chaos: $(VENV)/installed ## stop Collectors and the trace store under load, then look up every acknowledged span (ARGS=--spans=100000)
	@$(RUN) -m checks.chaos $(ARGS)

detect: $(VENV)/installed ## inject faults and measure the time to each alert (ARGS=--quiet=3600: an hour without faults, no alerts)
	@$(RUN) -m checks.detect $(ARGS)

dashboards-check: $(VENV)/installed ## run every query of STACK's dashboards, follow the links, write a report (ARGS=--minutes=60)
	@$(RUN) -m checks.dashboards $(STACK) $(ARGS)

check: lint types

lint: $(VENV)/installed
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

types: $(VENV)/installed
	@$(RUN) -m mypy

schema: $(VENV)/installed ## generate the JSON Schema of the stack files
	@$(RUN) -m stack.settings.schema > stack/settings.schema.json

.PHONY: telemetry
telemetry: $(VENV)/installed ## write docs/telemetry.md from the telemetry contract
	@$(RUN) -m checks.contract

lock: ## update the pinned requirements (needs uv)
	@uv pip compile $(LOCK) requirements.in -o requirements.lock
	@uv pip compile $(LOCK) -c requirements.lock service/requirements.in -o service/requirements.lock

clean: down ## stop the local cluster, remove the Python environment and generated files
	@rm -rf $(VENV) .local
