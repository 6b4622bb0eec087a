# `make demo` and `make test` install what they need; `make install` does nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
SIDE_BY_SIDE := --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# A search starts some twenty processes. Where Python may not keep its bytecode, each compiles Ray, vLLM and DeepSpeed for itself.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test flows flows-short timed chaos chaos-short check coverage mutants docs install gpu-lock audit licences

demo: install
	$(BIN)/daa demo $(ARGS)

# Models of a few thousand parameters: a second thread costs more in hand-overs than it saves. ARGS="-n 0" runs all in one process.
test: install
	$(PYTEST) $(SIDE_BY_SIDE) -m "not faults and not alone" --ignore tests/flows $(ARGS)

# Whole commands, as they are given. Each has a Ray of its own and waits for processes to start: two use two cores.
flows: install
	$(PYTEST) $(SIDE_BY_SIDE) -m "not faults and not alone" tests/flows $(ARGS)

# Without those whose parts `make test` has.
flows-short: install
	$(PYTEST) $(SIDE_BY_SIDE) -m "not faults and not alone and not long" tests/flows $(ARGS)

# What measures time, with nothing beside it.
timed: install
	$(PYTEST) --numprocesses 0 -m alone $(ARGS)

# Runs whose processes, nodes and drivers die at set moments; then a search to which it happens at random, its ledger beside a calm one's.
chaos: install
	$(PYTEST) --numprocesses 0 -m faults
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos $(ARGS)

# A few of the random ones.
chaos-short: install
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos --faults 4 --trials 14 --steps 60 --lasts 3

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --level error

# Which lines of the mathematics, the search and the evaluation `make test` runs nowhere in its own processes; fails below 95 %.
coverage: install
	$(BIN)/uv pip install --quiet --python $(BIN)/python pytest-cov==7.1.0
	$(PYTEST) $(SIDE_BY_SIDE) -m "not faults and not alone" --ignore tests/flows --cov --cov-report=
	for room in orchestrator/objectives orchestrator/search evals; do \
		$(BIN)/coverage report --include "$$room/*" --show-missing --skip-covered --fail-under 95 || exit 1; done

# Which changes of the methods, the race and the statistics no test notices; fails where it is more than a tenth.
mutants: install
	$(BIN)/uv pip install --quiet --python $(BIN)/python mutmut==3.8.1
	OMP_NUM_THREADS=1 $(BIN)/mutmut run
	$(BIN)/python -m benchmarks.mutants benchmarks/survivors.txt

install: $(INSTALLED)

# The CPU build of torch is not on the default package index. pip finds it where it lies beside the machine; elsewhere uv knows its home.
$(INSTALLED): requirements/cpu.txt requirements/overrides.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv==0.13.8
	$(BIN)/python -m pip install --quiet --no-deps "torch==2.13.0+cpu" || $(BIN)/uv pip install --python $(BIN)/python --torch-backend cpu --no-deps torch==2.13.0
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --override requirements/overrides.txt -r requirements/cpu.txt -e .
	touch $(INSTALLED)

# Resolves the GPU pins again from pyproject.toml; needs no GPU.
gpu-lock: install
	$(BIN)/uv pip compile --quiet --python $(BIN)/python --extra gpu --no-emit-index-url --no-header --no-annotate pyproject.toml -o requirements/gpu.txt

docs: install
	$(BIN)/mkdocs build --quiet

# Known vulnerabilities of the pinned packages. Strict: a package that could not be looked up is a failure, not a pass.
audit: install
	$(BIN)/uv tool run pip-audit --strict --disable-pip --no-deps -r requirements/cpu.txt
	$(BIN)/uv tool run pip-audit --strict --disable-pip --no-deps -r requirements/gpu.txt

licences: install
	$(BIN)/python -m benchmarks.licences build/licences.csv
