PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test check simulate bench format lock clean

help:
	@echo "make demo   sync a real tree to an embedded S3 server and back, and prove that both are equal"
	@echo "make test   run the tests"
	@echo "make check  lint, types, import contracts, branch coverage of model and core"
	@echo "make simulate SEEDS=10000  play simulated stories of crashes, races and lost answers"
	@echo "make bench  compare with peers (installs them into $(VENV))"

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

demo: $(STAMP)
	$(BIN)/lakelink demo

# Much of the suite waits for servers; each worker has its own.
test: $(STAMP)
	@tests/packages
	@tests/suite $(BIN)/python -n 2 --dist worksteal

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/coverage run --source=lakelink.model,lakelink.core -m pytest -q tests/unit/core tests/unit/model
	$(BIN)/coverage report --fail-under=100 --skip-covered

simulate: $(STAMP)
	$(BIN)/python -m lakelink.testing.sim --story oneway --seeds $(or $(SEEDS),1000)
	$(BIN)/python -m lakelink.testing.sim --story links --seeds $(or $(SEEDS),1000)
	$(BIN)/python -m lakelink.testing.sim --story lazy --seeds $(or $(SEEDS),1000)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m tests.bench

lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --no-annotate --no-emit-index-url --extra dev pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
