# mlxlaunch-ansible: launch distributed MLX jobs with Ansible.   `make` alone lists what there is.
#
#   make demo                          two ranks on this machine, from nothing
#   make test ARGS="-k hostfile"       ARGS goes to pytest
#   make test VENV=.venv-next PYTHON=python3.13 ANSIBLE_CORE='ansible-core==2.21.*'
#                                      the same with another Python and ansible-core, in an environment of its own
#
# Nothing is installed outside this directory, except Debian packages by `make test` as root on Debian.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV ?= .venv
N ?= 4
# Not empty: the hosts of lab-up look like Macs over ssh.
MAC ?=
# Thunderbolt cables between them: ring, mesh, or a file; see tests/lab/mac/README.md.
CABLES ?=
ARGS ?=
# Which ansible-core a new environment gets; empty for the newest that the project and its Python allow.
ANSIBLE_CORE ?=
# The first Python that is new enough and can make an environment; looked for only when there is none yet.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
# Two targets at a time, and the output of each in one piece where make can do that (4.0; macOS has 3.81).
SIDE_BY_SIDE := --jobs=2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
STAMP := $(VENV)/.stamp

.PHONY: help demo test versions versions-sanity versions-test lint lint-code sanity published docs bench lab-up lab-down dist clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP)-mlx ## add up an array over two ranks on this machine
	@$(BIN)/mlxlaunch run -n 2 examples/all_sum.py

test: $(STAMP)-test ## all tests, on hosts made of Linux namespaces where that is possible (as root)
	@$(call install_debian_packages)
	@$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

versions: $(STAMP)-versions ## the tests that depend on the version of ansible-core, with any ANSIBLE_CORE and its own VENV
	@$(call install_debian_packages)
	@$(MAKE) $(SIDE_BY_SIDE) versions-sanity versions-test

versions-sanity: $(STAMP)-versions
	VENV="$(VENV)" scripts/sanity $(addprefix --test ,action-plugin-docs ansible-doc ignores runtime-metadata validate-modules)

versions-test: $(STAMP)-versions
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m versions $(or $(ARGS),tests/integration tests/unit/collection)

lint: $(STAMP)-lint .venv-published/.stamp ## everything that can be said about the code without running it
	@$(MAKE) $(SIDE_BY_SIDE) sanity published lint-code

lint-code: $(STAMP)-lint ## the quick part of lint: style, types, imports, playbooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	VENV="$(VENV)" scripts/python_to_come
	PYTHONPATH=.ansible:. $(BIN)/lint-imports --no-logo
	$(BIN)/yamllint --strict .
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/ansible-lint --offline playbooks collection molecule examples
	$(BIN)/python scripts/settings_table.py --check
	$(BIN)/python scripts/role_readmes.py --check

sanity: $(STAMP)-lint ## every test of ansible-test sanity over the collection; part of lint
	VENV="$(VENV)" scripts/sanity

published: .venv-published/.stamp ## the collection and the package, looked at by the tools of those who take them; part of lint
	VENV=.venv-published scripts/published

docs: $(STAMP)-mlx ## write docs/settings.md and the README of each role again
	$(BIN)/python scripts/settings_table.py
	$(BIN)/python scripts/role_readmes.py

bench: $(STAMP)-mlx ## side by side with mlx.launch and plain ssh, in one run
	@$(call install_debian_packages)
	$(BIN)/python -m benchmarks $(ARGS)

lab-up: $(STAMP)-mlx ## start N=4 hosts to try things on, like Macs with MAC=1 and cables with CABLES=ring; it says how to reach them
	@$(call install_debian_packages)
	@$(BIN)/python -m tests.lab up --hosts $(N) $(if $(MAC),--mac) $(if $(CABLES),--cables $(CABLES))

lab-down: $(STAMP)-mlx ## end them
	@$(BIN)/python -m tests.lab down

dist: $(STAMP)-mlx ## build wheel and source archive into dist/, and the collection's archive into dist/collection/
	$(PIP) install build
	$(BIN)/python -m build
	$(BIN)/ansible-galaxy collection build --force --output-path dist/collection collection

clean: ## remove environments, caches and what was built; a lab that is up stays
	rm -rf .venv* .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment for everything. A stamp says which extra is in it, for this pyproject.toml and this ansible-core.
# One whose making was interrupted has no pip yet.
$(STAMP): pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo 'make: want Python 3.11 or newer with venv (Debian: apt-get install python3-venv), or PYTHON=/path/to/one' >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "Making $(VENV) with $(PYTHON)"; "$(PYTHON)" -m venv $(VENV); }
	@touch $@

$(STAMP)-%: $(STAMP)
	@echo "Installing the project and what it needs for: $*"
	@$(PIP) install --editable '.[$*]' $(if $(ANSIBLE_CORE),'$(ANSIBLE_CORE)')
	@touch $@

# An ansible-core that the package does not allow can be had for these tests: uv, as pip cannot, overrides a requirement.
$(STAMP)-versions: $(STAMP)
	@echo "Installing the project for: versions, with $(or $(ANSIBLE_CORE),any ansible-core)"
	@$(PIP) install uv
	@VENV=$(VENV) scripts/uv pip install --quiet --python $(BIN)/python --override <(echo '$(ANSIBLE_CORE)') --editable '.[test]'
	@touch $@

# The tools that look at what is published: one of them holds back versions that the rest of lint wants new.
.venv-published/.stamp: pyproject.toml | $(STAMP)
	@echo "Installing the tools that look at what is published"
	@$(@D)/bin/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m venv $(@D)
	@$(@D)/bin/python -m pip --quiet --disable-pip-version-check --no-input install uv
	@VENV=$(@D) scripts/uv pip install --quiet --python $(@D)/bin/python --group published
	@touch $@

# What a lab needs, where it can be had without asking: as root on Debian and its kin.
define install_debian_packages
	missing=$$($(BIN)/python -m tests.lab packages | tr ' ' '\n' | while read -r name; do \
		dpkg-query --show --showformat='$${db:Status-Status}' "$$name" 2>/dev/null | grep -qx installed || echo "$$name"; done); \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing Debian packages:" $$missing; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get -qq install --yes --no-install-recommends $$missing >/dev/null 2>&1 \
			|| { apt-get -qq update && apt-get -qq install --yes --no-install-recommends $$missing >/dev/null; }; \
	fi
endef
