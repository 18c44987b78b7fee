# Everything here needs Python 3.10 or newer and git. `make` alone says what there is.
PYTHON ?= python3
VENV := .venv
VENV_NEXT := .venv-hydra14
VENV_FIRST := .venv-hydra132
VENV_PEER := .venv-peer
BIN := $(VENV)/bin
BIN_NEXT := $(VENV_NEXT)/bin
BIN_FIRST := $(VENV_FIRST)/bin
# One more than cores: a fifth of the tests' time they wait, for clocks, disks and servers.
WORKERS ?= $(shell expr $$(nproc 2>/dev/null || echo 2) + 1)
# Quick, and through all that Hydra and OmegaConf have a part in.
FIRST := tests/hooks/test_plugin.py tests/hooks/test_resolver.py tests/hooks/test_survey.py \
	tests/hooks/test_resolver_calls.py tests/ports/test_hydra_internals.py
# Beside the one that makes the environments.
PYTHONS ?= 3.10 3.13
FAST := tests/record tests/capture -m "not hydra and not slow"
NEXT := hydra-core hydra-joblib-launcher hydra-submitit-launcher hydra-ray-launcher \
	hydra-optuna-sweeper

# Makes the environment $(1) as the constraints $(2) say. uv takes ten seconds for what pip takes a minute
# for; pip does it where uv cannot, for instance behind an index that pip alone is configured for.
define environment
$(PYTHON) -m venv $(1)
$(1)/bin/python -m pip install --quiet --disable-pip-version-check --constraint $(2) uv
$(1)/bin/uv pip install --quiet --python $(1)/bin/python --compile-bytecode \
	--constraint $(2) --editable '.[dev]' \
	|| $(1)/bin/python -m pip install --quiet --disable-pip-version-check \
	--constraint $(2) --editable '.[dev]'
@touch $(1)/.installed
endef

.PHONY: help environments fast test lint typecheck pytest pytest-next pytest-first pythons \
	journeys demo bench constraints clean

# Times on two cores.
help:
	@echo 'make environments  one for each version of Hydra, and what else the tests start: by apt-get'
	@echo '                   where it may, else the tests that are left out are named (3 minutes)'
	@echo 'make fast          tests that start no Hydra, 1,700 of them (half a minute)'
	@echo 'make test          everything: style, contracts, types, tests on each Hydra (15 minutes)'
	@echo 'make pythons       the journeys on the oldest and the newest Python, where they are (5 minutes)'
	@echo 'make demo          a pipeline is recorded, pushed, lost, restored twice and run again'
	@echo 'make bench         what each command costs beside its like; writes docs/performance.md'

test: environments
	@$(MAKE) --no-print-directory -j2 --output-sync=target lint typecheck
	@$(MAKE) --no-print-directory pytest
	@$(MAKE) --no-print-directory pytest-next
	@$(MAKE) --no-print-directory pytest-first

environments:
	@$(PYTHON) tests/support/programs.py
	@$(MAKE) --no-print-directory -j2 $(VENV)/.installed $(VENV_NEXT)/.installed \
		$(VENV_FIRST)/.installed

fast: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) $(FAST)

demo: $(VENV)/.installed
	@$(BIN)/python examples/demo.py

bench: $(VENV)/.installed $(VENV_PEER)/.installed
	$(BIN)/python benchmarks/bench.py --peer-python $(VENV_PEER)/bin/python

lint: $(VENV)/.installed
	$(BIN)/flake8 flexlock_hydra hydra_plugins examples benchmarks tests
	$(BIN)/lint-imports

typecheck: $(VENV)/.installed
	$(BIN)/mypy

pytest: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS)

# The newest pre-release of Hydra runs everything that Hydra takes part in.
pytest-next: $(VENV_NEXT)/.installed
	$(BIN_NEXT)/python -m pytest -n $(WORKERS) -m hydra

# The oldest Hydra and OmegaConf that are allowed: what they have a part in, the quick of it.
pytest-first: $(VENV_FIRST)/.installed
	$(BIN_FIRST)/python -m pytest -n $(WORKERS) $(FIRST) -m hydra

# A machine may lack a Python: it is said then, in a line.
pythons:
	@for version in $(PYTHONS); do \
		python=$$($(PYTHON) tests/support/interpreters.py $$version) || continue; \
		$(MAKE) --no-print-directory journeys PYTHON=$$python VENV=.venv-python$$version || exit; \
	done

journeys: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) tests/journeys

$(VENV)/.installed: pyproject.toml constraints/hydra-1.3.txt
	$(call environment,$(VENV),constraints/hydra-1.3.txt)

$(VENV_NEXT)/.installed: pyproject.toml constraints/hydra-1.4.txt
	$(call environment,$(VENV_NEXT),constraints/hydra-1.4.txt)

$(VENV_FIRST)/.installed: pyproject.toml constraints/hydra-1.3.2.txt
	$(call environment,$(VENV_FIRST),constraints/hydra-1.3.2.txt)

$(VENV_PEER)/.installed:
	$(PYTHON) -m venv $(VENV_PEER)
	$(VENV_PEER)/bin/python -m pip install --quiet --disable-pip-version-check flexlock==0.10.0
	@touch $@

# Pin anew what the constraints files name, for every supported Python; needs uv.
constraints:
	echo 'hydra-core==1.3.8' | uv pip compile --quiet --universal --python-version 3.10 \
		--all-extras --no-annotate --no-emit-package flexlock-hydra \
		--constraint - --output-file constraints/hydra-1.3.txt pyproject.toml
	printf '%s\n' hydra-core==1.3.2 omegaconf==2.3.0 | uv pip compile --quiet --universal \
		--python-version 3.10 --all-extras --no-annotate --no-emit-package flexlock-hydra \
		--constraint - --output-file constraints/hydra-1.3.2.txt pyproject.toml
	printf '%s==1.4.0rc3\n' $(NEXT) | uv pip compile --quiet --universal --python-version 3.10 \
		--all-extras --no-annotate --prerelease if-necessary-or-explicit \
		--no-emit-package flexlock-hydra \
		--override - --output-file constraints/hydra-1.4.txt pyproject.toml

clean:
	rm -rf $(VENV) $(VENV_NEXT) $(VENV_FIRST) $(VENV_PEER) .venv-python*
