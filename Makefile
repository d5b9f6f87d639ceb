# Everything starts from python3 >= 3.11 and make; the rest is installed into .uv and .venv here and, for
# the embedded control plane, built once into the user's cache folder (hack/README.md).

PYTHON ?= python3
ARGS ?=
UV_VERSION := 0.13.9
UV := env -u VIRTUAL_ENV UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never .uv/bin/uv
BIN := .venv/bin
# Tests that wait for real servers more than they compute.
SERVERS := tests/alertmanager tests/chart tests/controlplane tests/prometheus
TOOLS := controlplane prometheus alertmanager helm

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-engine test-gpu lint bench bench-judgement crds tools clean python

help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 26

demo: .venv/.synced ## Run the operator against an embedded control plane (ARGS='--duration 60')
	@exec $(BIN)/tokenfactory demo $(ARGS)

test: lint ## Check the code and run every test (but the benchmarks)
	@$(BIN)/python hack/provide.py controlplane >/dev/null
	$(BIN)/pytest -n 2 --dist loadfile -m "not bench and not gpu" tests $(addprefix --ignore=,$(SERVERS))
	$(BIN)/pytest -n 4 --dist loadfile -m "not bench" $(SERVERS)

lint: .venv/.synced ## Ruff, mypy and the laws of the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy hack/provide.py hack/sync_chart.py
	$(BIN)/lint-imports

test-engine: .venv/.synced ## Compare with two real vLLM servers (6 GB once, then 10 to 20 minutes)
	$(BIN)/python -m tests.engine.run $(ARGS)

test-gpu: .venv/.synced ## Compare the agent with nvidia-smi on this machine's NVIDIA GPU (2 minutes; needs PyTorch)
	$(BIN)/pytest -m gpu -s tests/gpu $(ARGS)

bench-judgement: .venv/.synced ## False pages of the judge over 1,000 seeded pool-days (minutes)
	@$(BIN)/python -m tests.bench.judgement $(ARGS)

bench: .venv/.synced ## Measure: ratios of one run, shown, not judged by the clock
	$(BIN)/pytest -m bench -s tests/bench

crds: .venv/.synced ## Render crds/ and the chart's CRDs from the models in operator/tokenfactory/api
	$(BIN)/python -c 'from pathlib import Path; from tokenfactory.api import crd; crd.write(Path("crds"))'
	$(BIN)/python hack/sync_chart.py

tools: .venv/.synced ## Build the control plane, Prometheus, Alertmanager and Helm now
	@for set in $(TOOLS); do $(BIN)/python hack/provide.py $$set || exit 1; done

.PHONY: alerts
alerts: .venv/.synced ## Render the alert rules of manifests/ and of the chart from publishing/alertrules.py
	$(BIN)/python hack/render_alerts.py

clean: ## Remove what was installed here (the built tools stay in the user's cache folder)
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	find operator tests hack -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	  echo "$(PYTHON) is not on PATH: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), 3.11 or newer is needed: make PYTHON=python3.12 names another" >&2; exit 1; }

.uv/.installed-$(UV_VERSION): | python
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no ensurepip: install your system's package for it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "installing uv $(UV_VERSION) into .uv"
	@rm -rf .uv && $(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv/.synced: pyproject.toml uv.lock .uv/.installed-$(UV_VERSION)
	@echo "installing the locked dependencies into .venv"
	@$(UV) sync --locked --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@touch $@
