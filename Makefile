# Two commands do everything on a machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint install example references clean

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

# The reference models that runs on the bundled data are shown beside (docs/references.md). Takes up what is in reports/known.
KNOWN = --runs reports/known/$(1) --out robusteval/data/references/fashion-mnist-$(1).json --suite $(1) \
	--about "standard=a convolutional network, trained as one trains when nobody attacks" \
	--about "pgd-trained=the same network, trained on PGD with Linf 0.1 (Madry et al. 2018)" \
	--model smoothed=examples/fashion-cnn.onnx --defense smoothed=randomized-smoothing:n0=20,n=50 --draws smoothed=1 \
	--about "smoothed=the standard one behind randomized smoothing, sigma 0.12, 25 votes (Cohen et al. 2019)" --limit smoothed=64 \
	--model gradient-masked=examples/fashion-cnn.onnx --defense gradient-masked=gradient-masking --limit gradient-masked=100 \
	--about "gradient-masked=the standard one with every activation rounded, so that its gradient vanishes" \
	--exact gradient-masked=surrogate=false

references: .venv/.done
	$(BIN)/robusteval run examples/fashion-cnn.onnx --suite standard --out reports/known/cnn
	$(BIN)/robusteval run examples/fashion-robust.onnx --suite standard --out reports/known/robust
	$(BIN)/robusteval calibrate --model standard=reports/known/cnn --model pgd-trained=reports/known/robust $(call KNOWN,standard)
	$(BIN)/robusteval calibrate --model standard=examples/fashion-cnn.onnx --model pgd-trained=examples/fashion-robust.onnx \
		$(call KNOWN,smoke)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
