# Two commands: `make demo` opens the workbench on its built-in demo, `make test` checks everything. See README.md.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8501
# Handed to every pip install, for example PIP_ARGS="--index-url <an index of CPU wheels>".
PIP_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint types bench soak packages clean

demo: $(VENV)/.runtime
	PORT=$(PORT) $(BIN)/python app.py

# All three run, also if one fails, so that one run says everything.
test: $(VENV)/.dev packages
	@failed=; \
	echo "ruff";   $(BIN)/ruff check .        || failed="$$failed ruff"; \
	echo "mypy";   $(BIN)/mypy                || failed="$$failed mypy"; \
	echo "pytest"; $(BIN)/python -m pytest -q || failed="$$failed pytest"; \
	if [ -n "$$failed" ]; then echo "failed:$$failed"; exit 1; fi

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

bench: $(VENV)/.dev packages
	$(BIN)/python -m benchmarks.pages
	$(BIN)/python -m benchmarks.build
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.steer

# Many people at once for ten minutes; SOAK="--sessions 5 --minutes 1" for others.
SOAK ?=
soak: $(VENV)/.dev
	$(BIN)/python -m benchmarks.soak $(SOAK)

# Chromium for the browser tests: installed where that is possible, else those tests are skipped and pytest lists them.
packages:
	@if command -v chromium >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; \
	else echo "Chromium is not installed and this user cannot install it: the browser tests will be skipped (listed at the end)."; fi

# The stamps hold a copy of the list that was installed: a changed list is installed again, a touched one is not.
$(VENV)/.runtime: requirements.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@cmp -s requirements.txt $@ || $(PIP) install $(PIP_ARGS) -r requirements.txt
	@cp requirements.txt $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	@cat requirements.txt requirements-dev.txt | cmp -s - $@ || $(PIP) install $(PIP_ARGS) -r requirements-dev.txt
	@cat requirements.txt requirements-dev.txt > $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
