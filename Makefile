# Two commands do everything: make quickstart, make test.
VENV   ?= .venv
PYTHON ?= python3
# Extra options for pip, for example a CPU build of torch:
#   make quickstart PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_ARGS ?=
BIN = $(VENV)/bin

.PHONY: help quickstart test test-fast lint docs speed clean

help:
	@echo "make quickstart   set up, fine-tune the embedded checkpoint on a real task, show table, card and board"
	@echo "make test         set up, then every test (make test-fast: only those of seconds)"
	@echo "make lint         ruff check and format"
	@echo "make docs         regenerate the reference and the table of tasks"
	@echo "make speed        measure: tables here, figures in benchmarks/speed/results (SPEED=\"board probe\" for some only)"

$(BIN)/.ready: pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (once; a few minutes, most of it torch) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e ".[dev]"
	@touch $@

quickstart: $(BIN)/.ready
	@$(BIN)/bench run --suite quickstart
	@$(BIN)/bench board --task antimicrobial-peptide --html board/index.html
	@echo
	@echo "The board as a page: board/index.html. The card: runs/antimicrobial-peptide--bench-esm-mini--quick--*/card/README.md"

test: $(BIN)/.ready lint
	@$(BIN)/python -m pytest

test-fast: $(BIN)/.ready
	@$(BIN)/python -m pytest -m "not slow"

lint: $(BIN)/.ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check -q .

docs: $(BIN)/.ready
	@$(BIN)/python docs/generate.py

# Every script but the rivals', which installs other people's packages: make speed SPEED=rivals.
SPEED ?= $(filter-out measuring workload rivals,$(basename $(notdir $(wildcard benchmarks/speed/*.py))))

speed: $(BIN)/.ready
	@mkdir -p benchmarks/speed/results
	@for script in $(SPEED); do \
		$(BIN)/python benchmarks/speed/$$script.py --out benchmarks/speed/results/$$script.json || exit 1; \
	done

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
