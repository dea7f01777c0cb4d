# Everything is made in this clone: .venv, .cache and nothing outside. No root, no services.

PORT ?= 8000
# Any Python from 3.11 on, found by itself; or: make run PYTHON=/path/to/python3.12
PYTHON ?=
VENV ?= .venv
# More arguments for pytest: make test ARGS='-k parser -x'
ARGS ?=
# How long to look, the seed of what is tried (another each time without one), and a failing input to try again.
SECONDS ?= 60
SEED ?=
INPUT ?=
# How many simulated runs of the server's connections.
SEEDS ?= 10000

BIN = $(VENV)/bin
SETUP = @sh tests/support/venv.sh $(VENV)
# Floors 0 to 3 of the package (tests/test_floors.py), held to 100 % of their branches.
LOW_FLOORS = minihttp/errors.py,minihttp/headers.py,minihttp/options.py,minihttp/waits.py,minihttp/wire/*,$\
	minihttp/codec.py,minihttp/spool.py,minihttp/forms.py,minihttp/request.py,minihttp/response.py,minihttp/patterns.py,minihttp/routing.py

.DEFAULT_GOAL := help
.PHONY: help run run-mysql test test-all test-cluster fuzz simulate storm torture soak check format lint types wrk bench bench-guard bench-db bench-watch clean setup-run setup-dev

help:  ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 18

setup-run:
	$(SETUP) all $(PYTHON)

setup-dev:
	$(SETUP) dev $(PYTHON)

run: setup-run  ## Serve the example on SQLite: make run PORT=8123 ARGS=--watch
	@exec $(BIN)/python examples/users_app.py --port $(PORT) $(ARGS)

run-mysql: setup-run  ## Serve the example on a private MariaDB of its own
	@exec $(BIN)/python -m tests.support.mariadb -- $(BIN)/python examples/users_app.py --port $(PORT) --database {url} $(ARGS)

test: setup-dev  ## Run the tests, with a real MariaDB of their own: make test ARGS='-k name -x'
	@$(BIN)/python -m tests.support.mariadb --fetch
	$(BIN)/python -m pytest -W error $(ARGS)

test-all:  ## Run the tests on every Python from 3.11 to 3.13 at hand, on asyncio and on uvloop
	@sh tests/support/test_all.sh $(ARGS)

test-cluster: setup-dev  ## Kill the nodes of a real Galera cluster under the example, about two minutes (Linux, Debian's packages)
	$(BIN)/python -m pytest -W error tests/cluster $(ARGS)

fuzz: setup-dev  ## Look for bytes that two parsers read differently: make fuzz SECONDS=600 SEED=1, make fuzz INPUT=file
	@PYTHONHASHSEED=0 $(BIN)/python -m tests.wire.fuzz_run --seconds $(SECONDS) --seed $(or $(SEED),0) $(INPUT)

simulate: setup-dev  ## Play connections in virtual time: make simulate SEEDS=100000; one, step by step: make simulate SEED=7
	@$(BIN)/python -m tests.simulation.run $(if $(SEED),--seed $(SEED) --trace,--seeds $(SEEDS))

storm: setup-dev  ## Cancel 100,000 queries at random on MariaDB and on SQLite, every row checked: make storm SEED=7 ARGS=mysql
	@nice $(BIN)/python -m tests.db.storm $(if $(SEED),--seed $(SEED)) $(ARGS)

torture: setup-dev  ## Show on real sockets that the server is hard to kill, about ten minutes: make torture ARGS='churn idle'
	@nice $(BIN)/python -m tests.torture.run $(ARGS)

soak: setup-dev  ## Small requests for as long as you like on each loop, memory in sight: make soak SECONDS=600
	@nice $(BIN)/python -m tests.torture.run soak --seconds $(if $(filter command% environment%,$(origin SECONDS)),$(SECONDS),120)

check: lint types  ## All that must hold before a commit: format, lint, types, tests and coverage
	@$(MAKE) test ARGS="--cov --cov-report= $(ARGS)"
	$(BIN)/python -m coverage report
	$(BIN)/python -m coverage report --include='$(LOW_FLOORS)' --fail-under=100
	@$(MAKE) fuzz SECONDS=25 SEED=1 INPUT=
	@$(MAKE) simulate SEEDS=5000 SEED=
	@$(MAKE) test-cluster ARGS=

format: setup-dev  ## Put the code in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup-dev  ## Check form and rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup-dev  ## Check types
	$(BIN)/mypy --strict

wrk: setup-run  ## Measure the example with wrk, a few seconds, on a port of its own
	@$(BIN)/python -m benchmarks.wrk $(ARGS)

# QUICK=1: one round. ONLY=plaintext,database and PEER=granian: some of it. The same command goes on where it was stopped.
bench: setup-dev  ## Measure minihttp beside its peers: make bench, make bench QUICK=1, make bench ONLY=json PEER=sanic
	@$(BIN)/python -m tests.support.mariadb --fetch
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(PEER),--peer '$(PEER)') $(ARGS)

bench-db: setup-dev  ## Compare the CPU per query with other libraries, some minutes; QUICK=1 for a look
	@nice $(BIN)/python -m benchmarks.db $(if $(QUICK),--quick) $(ARGS)

bench-guard: setup-dev  ## Before a release: has a request become dearer, beside a server that answers canned bytes?
	@$(BIN)/python -m benchmarks.guard

bench-watch: setup-run  ## Measure what watching the loop costs per request, some minutes: make bench-watch ARGS=--all
	@$(BIN)/python -m benchmarks.watch $(ARGS)

clean:  ## Remove all that was made, the virtual environments too
	rm -rf .venv .venv-* .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage build dist *.egg-info
	find minihttp examples tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
