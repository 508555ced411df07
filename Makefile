# Every command sets up what it needs: a virtual environment of its own in .venv, with pinned versions.
PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
TORCH := $(shell grep '^torch==' requirements.lock)
INSTALL := $(BIN)/uv pip install -q --python $(BIN)/python
# Two processes of one thread each: PyTorch's threads in several processes would wait for one another. Files stay
# whole, and start in the order of tests/conftest.py, the longest first.
PYTEST := OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: venv demo repro check test lint docs bench clean

venv: .venv/installed

# PyTorch first: uv knows PyTorch's own indexes and takes the CPU build on a machine without a GPU, which spares
# it gigabytes of CUDA; where they cannot be reached, pip takes what its own index has.
.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q "$$(grep '^uv==' requirements.lock)"
	@$(INSTALL) --torch-backend=auto $(TORCH) 2> .venv/uv.log \
		|| { echo "PyTorch's own index does not answer: taking $(TORCH) from pip's"; $(BIN)/python -m pip install -q $(TORCH); }
	$(INSTALL) -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch .venv/installed

# The whole pipeline at scale smoke, in a clone of its own: synthetic alphabets, no download, no GPU.
demo: venv
	@echo "The whole pipeline in miniature: at most seven minutes, the environment included."
	rm -rf demo
	git clone -q . demo
	cd demo && python -m stages.lock && dvc exp run -S scale=smoke && python -m stages.lock
	@for block in segmentation classification; do \
		sed -n "/<!-- $$block -->/,/<!-- .$$block -->/p" demo/README.md | grep -v '^<!--'; done
	@echo "All tables: demo/docs/results.md; pictures: demo/figures"

# The pipeline at the scale of params.yaml. stages.lock puts back a dvc.lock that a killed command has broken.
repro: venv
	@echo "The pipeline at the scale of params.yaml; at scale laptop some 20 minutes on two cores."
	python -m stages.lock && dvc repro && python -m stages.lock

# Before every commit: format, lint, types, and the tests that take no longer than a moment.
check: lint
	$(PYTEST) -q -m "not slow"

test: venv
	$(PYTEST)

lint: venv
	ruff format --check .
	ruff check .
	mypy

# The pages of docs/ and the API from the docstrings as a site: site/README.html.
docs: venv
	python -m sphinx -q -W -b html -c docs . site

bench: venv
	python -m bench.rendering
	python -m bench.sets
	python -m bench.datasets
	python -m bench.cluster
	python -m bench.training
	python -m bench.masknet
	python -m bench.colour_matcher
	python -m bench.own_input
	python -m bench.play
	python -m bench.baselines
	python -m bench.koch

clean:
	rm -rf .venv demo site
