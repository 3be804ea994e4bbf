# Everything happens in the virtual environment .venv, made on first use and again when setup.py changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AUTOBAHN := .venv-autobahn
WORKERS ?= 4
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
DJANGO_OLDEST := 4.2

# Tests start hundreds of processes; each would compile all it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run run-django test soak check bench capacity storm autobahn fuzz crash client manual man wheel programs clean

help: ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F '\t' '{ printf "  make %-10s %s\n", $$1, $$2 }'

run: $(VENV)/installed ## start the example chat and its Hookbox, and print where to find them
	@exec $(BIN)/python examples/chat/run.py

run-django: $(VENV)/installed-django ## start the Django example and its Hookbox, and print where to find them and how to log in
	@exec $(BIN)/python examples/django_chat/run.py

test: $(VENV)/installed-test $(VENV)/django-oldest programs ## run all tests, or some (TESTS=tests/unit), in four processes (WORKERS=0 for one)
	$(PYTEST) $(TESTS)
	$(if $(TESTS),,$(PYTEST) tests/djangoapp)
	$(if $(TESTS),,PYTHONPATH=$(CURDIR)/$(VENV)/django-oldest HOOKBOX_TEST_DJANGO=$(DJANGO_OLDEST) $(PYTEST) tests/djangoapp)

soak: $(VENV)/installed-test ## test under load with faults at random; 10 minutes, or make soak MINUTES=120
	$(BIN)/python tests/soak.py --minutes $(or $(MINUTES),10)

check: $(VENV)/installed-lint ## look at style and types
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/installed ## measure, side by side with a floor and, where installed, nginx with nchan; ROWS="P1 P7"
	@$(BIN)/python -m bench $(ROWS)

capacity: $(VENV)/installed ## hold 15,000 WebSockets, then 2,000 comet clients, for MINUTES=5 each
	@$(BIN)/python -m bench.capacity $(if $(MINUTES),--minutes $(MINUTES))

storm: $(VENV)/installed-test ## cut 5,000 clients at once, with the application down and then slow (about two minutes)
	$(BIN)/python tests/live/storm.py $(CLIENTS)

autobahn: $(VENV)/installed-test $(AUTOBAHN)/ported ## judge the WebSocket frames by Autobahn|Testsuite (CASES='6.4.*' for some)
	$(BIN)/python tests/autobahn/conformance.py $(CASES)

fuzz: $(VENV)/installed-test ## throw mutated input at every parser and at a server (COUNT=200000 SEED=1)
	$(BIN)/python tests/fuzz/fuzz.py $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED)) $(TARGETS)

crash: $(VENV)/installed-test ## kill -9 while messages are accepted and delivered: 20 rounds, or make crash ROUNDS=2 COUNT=500
	$(BIN)/python tests/crash.py $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED))

client: ## make the minified browser client from its source
	sh hookbox/js/build.sh

manual: $(VENV)/installed ## write the tables of docs/configuration.md anew
	$(BIN)/python -c 'from pathlib import Path; from hookbox.manual import with_tables; \
	  page = Path("docs/configuration.md"); page.write_text(with_tables(page.read_text()))'

man: $(VENV)/installed ## write packaging/hookbox.1 anew, the page that man shows
	$(BIN)/python -c 'from pathlib import Path; from hookbox.manpage import man_page; \
	  Path("packaging/hookbox.1").write_text(man_page())'

wheel: $(VENV)/installed ## build the package into dist/
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

# Programs that tests look at: a browser, and nginx for `hookbox doctor`. Where we may, we install what is missing;
# without them, their tests say that they were skipped, but where CI is "true" that is a failure.
# Debian's chromium-headless-shell is Chromium without the windows that no test looks at, for a fifth of the CPU.
APT_GET := DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20
programs:
	@may_install=$$([ "$$(id -u)" = 0 ] && command -v apt-get); \
	updated=; failed=; \
	install() { \
	  [ "$$may_install" ] || return 1; \
	  [ "$$updated" ] || { echo "Installing what tests need: $$1 ..."; $(APT_GET) update; updated=yes; }; \
	  $(APT_GET) install -y --no-install-recommends "$$1" >/dev/null; \
	}; \
	has_browser() { for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && return; done; return 1; }; \
	command -v chromium-headless-shell >/dev/null || install chromium-headless-shell || has_browser || install chromium || { \
	  echo "*** There is no Chromium: nothing is tested in a browser. Install chromium or google-chrome. ***"; failed=yes; }; \
	command -v nginx >/dev/null || install nginx-light || { \
	  echo "*** There is no nginx: hookbox doctor is not tested behind it. Install nginx-light. ***"; failed=yes; }; \
	[ -z "$$failed" ] || [ "$$CI" != true ]

clean: ## remove what the other targets made
	rm -rf $(VENV) $(AUTOBAHN) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Hookbox needs Python 3.11 or later; say where it is: make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/installed: setup.py | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-django: setup.py | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[django]' 'django<6'
	@touch $@ $(VENV)/installed

$(VENV)/installed-test: setup.py | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-lint: setup.py | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[lint]'
	@touch $@ $(VENV)/installed

$(VENV)/django-oldest: setup.py | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $@ 'django==$(DJANGO_OLDEST).*'
	@touch $@

$(AUTOBAHN)/ported: tests/autobahn/requirements.txt tests/autobahn/install.py tests/autobahn/port.py | $(VENV)/bin/python
	@$(BIN)/python tests/autobahn/install.py $(AUTOBAHN) $(AUTOBAHN_PYTHON)
	@touch $@
