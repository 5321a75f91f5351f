# Two commands do everything on a machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint install example clean

# The environment is rebuilt when the package's metadata or the pinned versions change.
.venv/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[test]"
	touch $@

install: .venv/.done

demo: .venv/.done
	$(BIN)/robusteval run examples/fashion-cnn.onnx --suite standard

lint: .venv/.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# The committed example report, from the record of a run on the shipped model.
example: .venv/.done
	$(BIN)/robusteval run examples/fashion-cnn.onnx --suite standard --out reports/example --overwrite
	cd reports/example && rm -rf units record.json witnesses.safetensors  # the page alone is kept in git

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
