# Two commands do everything: make quickstart, make test.
VENV   ?= .venv
PYTHON ?= python3
# Extra options for pip, for example a CPU build of torch:
#   make quickstart PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_ARGS ?=
BIN = $(VENV)/bin

# Tests run side by side, a process a core; JOBS=1 is one after the other. Each takes about a gigabyte: eight at most.
JOBS ?= logical
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --maxprocesses 8 --dist worksteal

.PHONY: help quickstart test test-all test-fast fuzz golden golden-update lint bad-inputs kills thousand docs notebooks leaderboard network loads speed wheel clean

help:
	@echo "make quickstart   set up, fine-tune the embedded checkpoint on a real task, show table, card and board"
	@echo "make test         set up, then style, the golden suite and every test, a process a core (JOBS=1: one after the other)"
	@echo "make test-fast    set up, then the tests that train nothing and start nothing"
	@echo "make fuzz         what reads files, cells and options, on thousands of inputs that are other each time (FUZZ=20: so many times as many)"
	@echo "make golden       the code against itself: the golden suite must predict what it did (golden-update: freeze it anew)"
	@echo "make wheel        build source and wheel, and try the wheel in an environment of its own"
	@echo "make lint         ruff check and format, types (the first time a minute, then seconds)"
	@echo "make bad-inputs   meet hundreds of bad and of hostile inputs, and write what came of each (a quarter of an hour)"
	@echo "make kills        kill commands at many moments, run them again, and hold the end against commands that nobody killed (KILLS=10 each)"
	@echo "make thousand     a thousand runs by one command on two workers, killed three times; nothing twice, nothing missing (minutes)"
	@echo "make docs         regenerate the reference, and build the documentation as a site in site/"
	@echo "make notebooks    run the notebooks in docs/notebooks in their small setups and keep what they show (its README says what NOTEBOOKS takes)"
	@echo "make leaderboard  the demonstration in reports/leaderboard: every pinned task by four checkpoints (hours of a core; LEADERBOARD=\"--page\": its pages alone)"
	@echo "make network      public data, original weights, published numbers, UniProt and publishing, on the real network (NETWORK=\"--smoke\": on servers of this machine)"
	@echo "make loads        load published models with other versions of transformers and with TensorFlow, in environments of their own"
	@echo "make speed        measure: tables here, figures in benchmarks/speed/results (SPEED=\"board probe\" for some only)"

$(BIN)/.ready: pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once; a few minutes, most of it torch) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[dev]"
	@touch $@

quickstart: $(BIN)/.ready
	@$(BIN)/bench run --suite quickstart
	@$(BIN)/bench board --task antimicrobial-peptide --html board/index.html
	@$(BIN)/bench card runs/antimicrobial-peptide--bench-esm-mini--quick--*
	@echo
	@echo "The board as a page: board/index.html"

# Style and types, and the golden suite, are one process each: beside the tests they cost little time.
test: $(BIN)/.ready
	@$(MAKE) --no-print-directory -j3 lint golden test-all

test-all: $(BIN)/.ready
	@$(PYTEST)

test-fast: $(BIN)/.ready
	@$(PYTEST) -m "not slow"

# A change of code that changes a prediction by more than the baseline's tolerance ends with exit code 1. Embeddings of an
# earlier run would hide what changed in reading.
GOLDEN = benchmarks/baselines/golden
GOLDEN_RUN = $(BIN)/bench run --suite golden --device cpu --no-embedding-cache --runs

# Everything that reads is tried on FUZZ times as many inputs as in make test, others each time; 20 take some minutes.
FUZZ ?= 20

fuzz: $(BIN)/.ready
	@BENCH_FUZZ=$(FUZZ) $(PYTEST) tests/fuzz

golden: $(BIN)/.ready
	@runs=$$(mktemp -d) && trap 'rm -rf "$$runs"' EXIT && \
		{ $(GOLDEN_RUN) $$runs > $$runs/log 2>&1 || { cat $$runs/log; exit 2; }; } && \
		{ $(BIN)/bench check --baseline $(GOLDEN) --candidate $$runs --cost ignore > $$runs/log || { cat $$runs/log; exit 1; }; } && \
		echo "golden suite: $$(head -n 1 $$runs/log)"

golden-update: $(BIN)/.ready
	@runs=$$(mktemp -d) && trap 'rm -rf "$$runs"' EXIT && $(GOLDEN_RUN) $$runs && \
		$(BIN)/bench baseline update golden --runs $$runs --add

lint: $(BIN)/.ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check -q .
	@$(BIN)/mypy hubtools

# Bad and hostile inputs, hundreds of each kind, and what comes of them: two tables, worst first. Some of them are in the tests.
bad-inputs: $(BIN)/.ready
	@$(BIN)/python tests/bad_inputs/outcomes.py --jobs 2 2> /dev/null
	@BENCH_HOSTILE_OUTCOMES=tests/security/hostile_outcomes.csv $(BIN)/python -m pytest tests/security/test_hostile_inputs.py

# The generated pages, and then all of them as a site: a link to nothing is an error. MkDocs' notice about its own future is left out.
docs: $(BIN)/.ready
	@$(BIN)/python docs/generate.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The documentation as a site: site/index.html"

# What of data and checkpoints is not at hand is named in NOTEBOOKS, as are single notebooks.
notebooks: $(BIN)/.ready
	@$(BIN)/python docs/notebooks/execute.py $(NOTEBOOKS)

# The data come from their addresses or from BENCH_DATA_MIRROR; stopped, the same command goes on.
LEADERBOARD ?=

leaderboard: $(BIN)/.ready
	@$(BIN)/python benchmarks/leaderboard.py $(LEADERBOARD)

# Kept in ./network; stopped, the same command goes on. Its docstring says what it does.
NETWORK ?=

network: $(BIN)/.ready
	@$(BIN)/python benchmarks/network $(NETWORK)

# Environments are made with pip, and used again where LOADS names a folder for them.
loads: $(BIN)/.ready
	@PIP_ARGS="$(PIP_ARGS)" $(BIN)/python tests/publishing/loads.py $(if $(LOADS),--environments $(LOADS))

# Source and wheel in dist/; then the wheel alone, in an environment of its own and far from this folder, makes a run.
PIP = python -m pip install -qq --disable-pip-version-check $(PIP_ARGS)

wheel:
	@rm -rf dist
	@trial=$$(mktemp -d) && trap 'rm -rf "$$trial"' EXIT && \
		$(PYTHON) -m venv $$trial/maker && $$trial/maker/bin/$(PIP) build && \
		$$trial/maker/bin/python -m build --outdir dist . > $$trial/log 2>&1 || { cat $$trial/log; exit 1; } && \
		$(PYTHON) -m venv $$trial/user && $$trial/user/bin/$(PIP) -c constraints.txt "$$(ls $$PWD/dist/*.whl)[quickstart]" && \
		cd $$trial && user/bin/bench tasks list > list && user/bin/bench recipes list > list && \
		user/bin/bench run --task antimicrobial-peptide --recipe majority --runs runs && \
		user/bin/bench board --task antimicrobial-peptide runs

# Runs, sweeps, publications and sites, each killed at evenly spread moments.
KILLS ?= 10

kills: $(BIN)/.ready
	@$(BIN)/python tests/kills.py --kills $(KILLS)

thousand: $(BIN)/.ready
	@$(BIN)/python tests/thousand_runs.py

# Every script but the rivals', which installs other people's packages: make speed SPEED=rivals.
SPEED ?= $(filter-out measuring workload rivals,$(basename $(notdir $(wildcard benchmarks/speed/*.py))))

speed: $(BIN)/.ready
	@mkdir -p benchmarks/speed/results
	@for script in $(SPEED); do \
		$(BIN)/python benchmarks/speed/$$script.py --out benchmarks/speed/results/$$script.json || exit 1; \
	done

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache
