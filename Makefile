# make demo: the quick start on bundled data. make test: style, types and tests, as in CI.
# The first Python of 3.11 or later that starts. 3.11 comes first: DGL is built for it alone.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
BIN := .venv/bin

.PHONY: setup demo test test-slow format

setup: .venv/installed

# Of Resemblyzer only the weights are used: what it depends on would have to be compiled.
# torch first and from the pin: any other way pulls gigabytes of CUDA libraries.
.venv/installed: pyproject.toml constraints.txt
	@test -n '$(PYTHON)' || { echo 'graphrec needs Python 3.11 or later: make PYTHON=/path/to/python3'; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet $$(grep '^torch==' constraints.txt)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,dgl,tune,offline-encoders]'
	$(BIN)/pip install --quiet --no-deps $$(grep '^Resemblyzer==' constraints.txt)
	touch $@

demo: setup
	$(BIN)/graphrec run paper_configs/quickstart.toml

# Types are checked beside the tests, which leave a core idle now and then. One thread for each
# process of the tests: threads that share a core wait for each other.
test: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@echo '$(BIN)/mypy, beside the tests'; $(BIN)/mypy & types=$$!; \
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist worksteal; tests=$$?; \
	wait $$types && exit $$tests

test-slow: setup
	$(BIN)/pytest -m slow

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
