# `make up` brings everything up on this machine, `make test` tests it; `make help` lists the rest.
STACK ?= local
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# The one command line; the targets below are short names of its commands.
WCT := ./wct
LOCK := --quiet --python-version 3.11 --universal --generate-hashes --no-header --no-annotate
# An option from a variable of make's command line. The shell's variables of that name may be meant for other programs.
OPTION = $(if $(filter command,$(firstword $(origin $1))),--$2 $($1))
# Without cached byte code, the import of the Kubernetes and Pulumi SDKs takes seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help doctor up down dev deploy rollout smoke spans dashboards-check render test check lint types lock schema clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("error: Python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0] + "; set PYTHON=")'
	@echo "installing the Python packages into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --no-compile --require-hashes --requirement requirements.lock
	@touch $@

doctor: $(VENV)/installed ## show what this machine has, which cluster `make up` would use, and what is missing
	@$(WCT) doctor

up: $(VENV)/installed ## start a cluster, deploy the stack `local`, run the smoke check (NODES=3, CLUSTER=kind, CONTEXT=…)
	@$(WCT) up $(call OPTION,NODES,nodes) $(call OPTION,CLUSTER,cluster) $(call OPTION,CONTEXT,context) \
	  $(call OPTION,IMAGE,image) $(call OPTION,REGISTRY,registry)

down: $(VENV)/installed ## stop the cluster of `make up` and remove what it created on this machine
	@$(WCT) down

dev: $(VENV)/installed ## run the three services in one process and draw their traces as trees (ARGS="--task URL": one task)
	@$(WCT) dev $(ARGS)

deploy: $(VENV)/installed ## deploy STACK and run the smoke check (SECRET_…=… sets a secret; ARGS=--forget=SECRET removes one)
	@$(WCT) deploy $(STACK) $(ARGS)

smoke: $(VENV)/installed ## send one request through STACK and check every hop of its trace
	@$(WCT) smoke $(STACK) $(ARGS)

rollout: $(VENV)/installed ## roll out a changed image or tracing to STACK in gated steps (ARGS=--plan, ARGS=--abort)
	@$(WCT) rollout $(STACK) $(ARGS)

.PHONY: config drift destroy
config: $(VENV)/installed ## print every setting of STACK with its file and line (ARGS=--json)
	@$(WCT) config $(STACK) $(ARGS)

drift: $(VENV)/installed ## compare the cluster with STACK (exit code 0: no drift; 1: drift; 2: the comparison failed)
	@$(WCT) drift $(STACK)

destroy: $(VENV)/installed ## remove everything that STACK created, after you type its name (ARGS="--yes --delete-data")
	@$(WCT) destroy $(STACK) $(ARGS)

spans: $(VENV)/installed ## count the spans of STACK at each stage, and show where spans are lost (ARGS="--since=6h")
	@$(WCT) spans $(STACK) $(ARGS)

render: $(VENV)/installed ## write the manifests of STACK to .local/manifests
	@$(WCT) render $(STACK) --output .local/manifests/$(STACK).yaml

.PHONY: unit nightly
# The unit tests use no schemathesis, whose import takes longer than many of them.
unit: $(VENV)/installed ## run the unit tests, which need no other program (a minute)
	@HYPOTHESIS_PROFILE=dev $(RUN) -m pytest tests/unit --quiet --numprocesses=2 --dist=worksteal -p no:schemathesis

# The types are checked with the tests.
test: lint ## check the code, run the tests, including those on the local cluster (15 minutes)
	@$(RUN) -m tests

nightly: $(VENV)/installed ## run all tests, also the long ones, with 3,000 examples for each property (3 hours)
	@$(RUN) -m tests nightly

.PHONY: bench capacity coverage outage chaos ha detect
bench: $(VENV)/installed ## measure the cost of tracing: none, stock instrumentation, this library (ARGS=--alternatives)
	@$(WCT) check bench $(ARGS)

capacity: $(VENV)/installed ## measure the spans per second and core of this Collector and of a plain one (ARGS=--rounds=2)
	@$(WCT) check capacity $(ARGS)

.PHONY: path
path: $(VENV)/installed ## measure what a span costs in Collector, Kafka, sampler and store (ARGS="--store=tempo --record")
	@$(WCT) check path $(ARGS)

.PHONY: prediction
prediction: $(VENV)/installed ## compare what the capacity plan predicts with real servers (ARGS="--store=tempo --record")
	@$(WCT) check prediction $(ARGS)

outage: $(VENV)/installed ## stop the Collector for five minutes under load, and count the lost spans (ARGS=--seconds=60)
	@$(WCT) check outage $(ARGS)

coverage: $(VENV)/installed ## run 10,000 operations and compare each trace with a ledger of what really happened
	@$(WCT) check coverage $(STACK) $(ARGS)

.PHONY: rollouts
rollouts: $(VENV)/installed ## roll out good and bad versions on the local stack under load (ARGS="--only=slow --times=10")
	@$(WCT) check rollouts $(ARGS)

.PHONY: verdicts
verdicts: $(VENV)/installed ## simulate rollouts, count wrong verdicts, write docs/verdicts.md (ARGS=--rollouts=10: 5 minutes)
	@$(WCT) check verdicts $(ARGS)

.PHONY: upgrades
upgrades: $(VENV)/installed ## upgrade from the previous release and back, with data and traffic (ARGS=--from=COMMIT)
	@$(WCT) check upgrades $(ARGS)

.PHONY: rotations
rotations: $(VENV)/installed ## give the local stack's secrets new values, with data and traffic (4 changes: 6 min; 10: 14 min)
	@$(WCT) check rotations

.PHONY: forget
forget: export EMAIL := $(EMAIL)
forget: $(VENV)/installed ## delete what STACK holds about one person, and print what remains (EMAIL=ada@example.com)
	@$(WCT) forget $(STACK)

.PHONY: security
security: $(VENV)/installed ## attack gateway and task-manager on this machine, and count what gets in (ARGS=--only=tokens)
	@$(WCT) check security $(ARGS)

.PHONY: manifests
manifests: $(VENV)/installed ## check the manifests of all stacks with kubeconform, kube-score and checkov
	@$(WCT) check manifests

.PHONY: supply-chain
supply-chain: $(VENV)/installed ## search for secrets in the history and for vulnerabilities, write bills of materials (ARGS=--no-audit)
	@$(WCT) check supply-chain $(ARGS)

chaos: $(VENV)/installed ## stop Collectors and the trace store under load, look up every acknowledged span (ARGS=--spans=100000)
	@$(WCT) check chaos $(ARGS)

ha: $(VENV)/installed ## lose nodes, pods and stores on three nodes under load (ARGS="--rows=node-killed-1 --minutes=3")
	@$(WCT) check ha $(ARGS)

.PHONY: network
network: $(VENV)/installed ## try each pair of pods of the local stack: what is declared connects, and nothing else
	@$(WCT) check network $(ARGS)

detect: $(VENV)/installed ## inject faults and measure the time to each alert (ARGS=--quiet=3600: an hour without faults)
	@$(WCT) check detect $(ARGS)

.PHONY: drill
drill: $(VENV)/installed ## inject faults into the local stack, and let an engineer find them (ARGS="--rounds=5 --seconds=600")
	@$(WCT) check drill $(ARGS)

dashboards-check: $(VENV)/installed ## run every query of STACK's dashboards, follow the links, write a report (ARGS=--minutes=60)
	@$(WCT) dashboards-check $(STACK) $(ARGS)

check: lint types

lint: $(VENV)/installed
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(VENV)/bin/lint-imports --no-logo

types: $(VENV)/installed
	@$(RUN) -m mypy

schema: $(VENV)/installed ## write stack/settings.schema.json and docs/settings.md from the settings
	@$(WCT) schema > stack/settings.schema.json
	@$(WCT) schema --page > docs/settings.md

.PHONY: digests
digests: $(VENV)/installed ## record the digests of the images that the stack pulls (ARGS=--check: compare them)
	@$(WCT) images digests $(ARGS)

.PHONY: telemetry
telemetry: $(VENV)/installed ## write docs/telemetry.md from the telemetry contract
	@$(WCT) telemetry

lock: ## update the pinned requirements (needs uv)
	@uv pip compile $(LOCK) requirements.in -o requirements.lock
	@uv pip compile $(LOCK) -c requirements.lock service/requirements.in -o service/requirements.lock
	@uv pip compile $(LOCK) -c requirements.lock package/requirements.in -o package/requirements.lock
	@cd checks/bench/alternatives && uv pip compile $(LOCK) -c ../../../requirements.lock packages.in -o packages.lock
	@uv pip compile $(LOCK) checks/manifests/tools/checkov.in -o checks/manifests/tools/checkov.lock
	@uv pip compile $(LOCK) checks/supply_chain/tools/python.in -o checks/supply_chain/tools/python.lock

clean: down ## stop the local cluster, remove the Python environment and generated files
	@rm -rf $(VENV) .local
