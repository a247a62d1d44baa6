# Everything is set up in .venv; only python3 >= 3.11, git and make are assumed.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
HELM ?= helm3
SCHEDULES ?= 10000
SEED ?= 1
NODE := tests/e2e/test_node.py tests/e2e/test_node_identity.py tests/e2e/test_node_staging.py tests/e2e/test_in_cluster.py
SUPPLY_CHAIN := tests/e2e/supply_chain tests/e2e/supply_chain_checks tests/e2e/approval tests/e2e/refusals

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "python3 >= 3.11 is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: setup canary test coverage lint simulate toolchain sandbox-canary e2e e2e-long supply-chain e2e-node \
	kill-matrix image bench bench-judge clean
setup: $(READY) ## Make .venv with the locked dependencies

canary: $(READY) ## The main job, rehearsed: pytest features/prod_canary.feature --rehearse
	$(BIN)/pytest features/prod_canary.feature --rehearse

test: $(READY) ## Unit, contract (rehearsal) and plugin tests; no network, no cluster
	$(BIN)/pytest tests -m "not real"

coverage: $(READY) ## Every branch of domain, engine and rollback is tested
	$(BIN)/pytest tests/unit/engine tests/unit/domain -q --cov=pytest_deploy.engine --cov=pytest_deploy.domain \
		--cov-branch --cov-fail-under=100 --cov-report=term-missing:skip-covered

lint: $(READY) ## Formatter, linter, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

simulate: $(READY) ## 10,000 schedules of deploys that die, race and recover, on a virtual clock
	$(BIN)/python -m tests.simulator --schedules $(SCHEDULES) --seed $(SEED)

toolchain: $(READY) ## Build the real parts that can't be downloaded, into a cache outside the checkout
	$(BIN)/python toolchain/build.py sandbox prometheus2 gh

sandbox-canary: toolchain ## The main job on real parts, with short windows; HELM=helm4 for the other major
	$(BIN)/pytest features/prod_canary.feature --sandbox --sandbox-speed 20 --deploy-set tools.helm=$(HELM)

e2e: toolchain ## Tests on the real parts: a sample of at most 10 minutes
	$(BIN)/pytest tests -m "real and not long" $(SUPPLY_CHAIN:%=--ignore=%)

e2e-long: toolchain ## All tests on the real parts, the long ones too, and every drill on the sandbox
	$(BIN)/pytest tests -m real
	$(BIN)/pytest features/drills --sandbox --sandbox-speed 20

supply-chain: $(READY) ## From a Dockerfile to a signed image with its records, on real parts; needs root, runc, git
	$(BIN)/python toolchain/build.py supply-chain
	$(BIN)/pytest $(SUPPLY_CHAIN)

kill-matrix: toolchain ## Every death of a deploy on the sandbox, then recover; goes on where it stopped
	$(BIN)/python -m tests.e2e.kill_matrix

e2e-node: $(READY) ## Tests on real pods: a node of its own (root, Debian 12; toolchain/README.md names its packages)
	$(BIN)/python toolchain/build.py node registry buildkit buildx sbom cosign sigstore
	$(BIN)/pytest $(NODE)

image: $(READY) ## The image of pytest-deploy itself, as an OCI archive in build/ (Debian 12)
	$(BIN)/python toolchain/build.py helm3 helm4 kubectl
	$(BIN)/python toolchain/image.py

bench: toolchain ## Ratios, printed: start-up, deploy overhead, time to restore, memory
	$(BIN)/python -m bench

bench-judge: $(READY) ## What each judge, ours and its peers', does to healthy and bad canaries
	$(BIN)/python -m bench.judges

clean: ## Remove what this Makefile made
	rm -rf $(VENV) reports
