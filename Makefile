# `make demo` and `make test` make their own environment (.venv) the first time and use it again afterwards.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: release-test help env demo test test-oldest lint format bench server server-stop docs docs-tables docs-images docs-screenshots study clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

env: $(READY) ## make the environment alone

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: no '$(PYTHON)' on the PATH. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: '$(PYTHON)' is $$($(PYTHON) --version), and Python 3.11 or newer is needed. Name one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: '$(PYTHON)' has no venv module. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "making the environment in $(VENV) (about two minutes; 2 GB, or 6 GB where pip takes torch for CUDA; once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' || { echo "make: the installation failed; the lines above say why. A package index must be within reach."; exit 1; }
	@touch $@

demo: $(READY) ## train three runs on real digits, compare them, say where everything is
	@OMP_NUM_THREADS=2 $(BIN)/python examples/demo.py

test: $(READY) ## run the tests
	OMP_NUM_THREADS=1 MLFLOW_DISABLE_TELEMETRY=true $(BIN)/python -m pytest -n 2 --dist loadscope --durations=25

OLDEST := .venv-oldest/bin/python

test-oldest: ## run the tests of schedules, callbacks and tracking with the oldest versions (about seven minutes)
	@$(PYTHON) -m venv --clear .venv-oldest
	@$(OLDEST) -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt -e '.[all,server]' pytest pytest-timeout pytest-xdist hypothesis
	OMP_NUM_THREADS=1 MLFLOW_DISABLE_TELEMETRY=true $(OLDEST) -m pytest -n 2 --dist loadscope tests/golden tests/schedules tests/callbacks tests/tracking

release-test: $(READY) ## build, install the wheel into an empty environment, bare and with its extras, and try it there
	rm -rf dist build/empty
	$(BIN)/python -m hatchling build
	$(PYTHON) -m venv build/empty
	build/empty/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt dist/*.whl
	cd build && OMP_NUM_THREADS=1 empty/bin/python ../tests/empty_environment.py bare
	build/empty/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt "$$(echo dist/*.whl)[all]"
	cd build && OMP_NUM_THREADS=1 empty/bin/python ../tests/empty_environment.py all

lint: $(READY) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## measure the cost of a step against the peers, and print the table
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps timm
	@mkdir -p build
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest benchmarks/test_*.py -q -p no:xdist -p no:cacheprovider --benchmark-json=build/bench.json --benchmark-quiet
	$(BIN)/python benchmarks/report.py build/bench.json

study: $(READY) ## train what the SGDR study lacks (two hours of a core if nothing is there yet) and write docs/study.md
	OMP_NUM_THREADS=1 MLFLOW_DISABLE_TELEMETRY=true $(BIN)/python -m benchmarks.sgdr_study.run $(ARGS)

SERVER := mlflow_configs/server.yaml

server: $(READY) ## start a tracking server over PostgreSQL on this machine; prints the line to export
	@$(BIN)/python mlflow_configs/serve.py start $(SERVER)

server-stop: $(READY) ## stop it; what it holds stays in .server
	@$(BIN)/python mlflow_configs/serve.py stop $(SERVER)

docs-tables: $(READY) ## write the pages of the schedules anew: the gallery and their arguments
	$(BIN)/python docs/make_gallery.py
	$(BIN)/python docs/make_schedules.py

docs-images: $(READY) ## draw the pictures of the docs anew
	$(BIN)/python docs/make_images.py
	$(BIN)/python docs/make_gallery.py

docs-screenshots: $(READY) ## take the pictures of the report and of MLflow's pages anew (needs chromium)
	$(BIN)/python -m docs.make_screenshots

docs: $(READY) ## build the documentation into site/; any warning or broken link fails it
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@rm -rf site
	$(BIN)/sphinx-build -W --keep-going -q -E -d build/doctrees docs site
	@echo "open site/index.html"

clean: ## remove the environment and what the demo wrote
	rm -rf $(VENV) demo_output site .pytest_cache .mypy_cache .ruff_cache
