# `make test` and `make demo` work as the first command on a fresh clone: all they need is Python 3.11 or newer with
# venv and pip. ARGS are handed on: make demo ARGS="--instruments 50", make test ARGS="tests/unit -k session".

.DEFAULT_GOAL := help
.PHONY: help test test-all lint format demo compose-test lock audit clean chaos overload soak measures bench fuzz mutants
READY := .venv/.ready
BENCH_READY := .venv-bench/.ready

help: ## this list
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: $(READY) ## everything CI runs: ruff, mypy and every promise's tests in a short form, some minutes
	@.ci/check $(ARGS)

test-all: $(READY) ## the same and the long forms
	@.ci/check --long $(ARGS)

lint: $(READY) ## ruff and mypy only
	@.ci/check --lint

format: $(READY) ## let ruff rewrite the code in the house's style
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

chaos: $(READY) ## kills and every fault on a simulated session, half an hour; ARGS="--kills N --seed S --json FILE"
	@.venv/bin/python -m tests.chaos.run $(ARGS)

overload: $(READY) ## four and a hundred times the broker's maximum, an hour away; ARGS="--seed S --only RUN --scale X --json FILE"
	@.venv/bin/python -m tests.chaos.overload $(ARGS)

soak: $(READY) ## ten weeks of 4500 instruments, 498 of them new each week, in virtual time; ARGS="--seed S --sessions N --weekly N"
	@.venv/bin/python -m tests.chaos.soak $(ARGS)

measures: $(READY) ## how near candles come to the simulator's tape, good trades refused, bad prints passed; ARGS="--seed S --minutes N --examples N"
	@.venv/bin/python -m tests.measures $(ARGS)

bench: $(BENCH_READY) ## how fast it is, beside its peers; ARGS="--quick --json FILE". Its packages take minutes to install
	@.venv-bench/bin/python -m bench $(ARGS)

demo: $(READY) ## a simulated session through the whole pipeline, to watch
	@.venv/bin/python manage.py demo $(ARGS)

fuzz: $(READY) ## hostile input, guided by coverage, a minute a target; ARGS="--seconds S --target T --seed N"
	@.venv/bin/python -c "import atheris" 2>/dev/null || .venv/bin/python -m pip install --quiet --quiet --requirement requirements/fuzz.txt
	@.venv/bin/python -m tests.fuzz $(ARGS)

mutants: $(READY) ## some thirty plausible mistakes in the candle rules, each caught by a test; ARGS="--rule N --only NAME"
	@.venv/bin/python -m tests.mutants $(ARGS)

compose-test: $(READY) ## build the images and run docker-compose.yml for real; needs a Docker engine
	@COMPOSE_TEST=1 .venv/bin/python -m pytest -v tests/contract/test_compose_run.py

lock: $(READY) ## after a change of a requirements file: the lock files anew; ARGS=--upgrade takes the newest
	@.ci/setup-tools && .ci/lock $(ARGS)

audit: $(READY) ## known vulnerabilities in any locked package; says so when no advisory service answers
	@.ci/setup-tools && .venv/bin/python .ci/audit

clean: ## remove the environment and all caches; logs, journal and .env stay
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis run/kernels
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): requirements/dev.lock .ci/setup
	@.ci/setup

$(BENCH_READY): $(READY) requirements/bench.txt bench/setup
	@bench/setup
