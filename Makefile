# Two commands do everything on a machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

# The published schemas, from the dataclasses.
schemas: .venv/.done
	$(BIN)/python -m robusteval.record.schemas
	$(BIN)/python -m robusteval.verify.statements.statement
	$(BIN)/python -m robusteval.finished.paired.document

# Are there tests that can fail? Every line that decides, derives, stores or checks is broken in turn; a break that no test
# notices, and that tests/mutants/survivors.txt does not explain, is an error. About a quarter of an hour on two cores.
# MUTANTS='robusteval.engine.search.judge*' asks of these only; ARGS=--again of those that lived the last time.
mutants: .venv/.done
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[mutants]"
	$(BIN)/python tests/mutants/check.py $(ARGS) $(MUTANTS)

# Is the tool ever the weak point? Builds some 490 hostile models, data, suites, run folders and plugins, runs the installed command
# on each under limits of time and memory, and prints what happened; half an hour on two cores. CASES='onnx/*' asks of these only.
# ARGS=--kills kills a small run at random and takes it up again, 200 times (--count 30: so many), which takes an hour and more.
hostile: .venv/.done
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.hostile $(ARGS) $(CASES)

# The readers of strangers' files under atheris, a minute each. ARGS='npz record --seconds 600' asks of these only.
fuzz: .venv/.done
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[fuzz]"
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.fuzz $(ARGS)

# What some tests read beside the repository: makes what can be made without a download, in about a minute and a half, and says where
# the originals are to be had that tests of published figures need. `make test-data ARGS=--check` only looks.
test-data: .venv/.done
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.data.make $(ARGS)

.PHONY: demo test quick test-data mutants hostile fuzz schemas lint install example references clean lock audit dist sbom release-tools site

# The environment is rebuilt when the package's metadata or the pinned versions change. LOCKED=1 takes the very files of
# requirements/ci.lock, by their hashes, as CI does; without it any file of the pinned versions will do, as of another index.
.venv/.done: pyproject.toml constraints.txt requirements/ci.lock
	$(PYTHON) -m venv .venv
ifdef LOCKED
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --requirement requirements/ci.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[test]"
endif
	touch $@

# What builds, locks and audits; under LOCKED it is there already.
release-tools: .venv/.done
ifndef LOCKED
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[release]"
endif

# The locks anew, of PyPI's files for Python 3.11 on Linux x86_64: what CI installs, and of that what a user does. It changes as little
# as constraints.txt and pyproject.toml ask for; ARGS=--upgrade takes the newest of what they leave open.
LOCK = $(BIN)/uv pip compile --no-config --quiet --default-index https://pypi.org/simple --python-version 3.11 \
	--python-platform x86_64-manylinux_2_28 --only-binary :all: --generate-hashes --custom-compile-command "make lock"
lock: release-tools
	$(LOCK) $(ARGS) --constraint constraints.txt --extra test --extra release --extra docs --output-file requirements/ci.lock pyproject.toml
	$(LOCK) $(ARGS) --constraint requirements/ci.lock --output-file requirements/run.lock pyproject.toml

# Known vulnerabilities of what is locked, by PyPI's advisories. A package that could not be looked up is an error, not a pass.
audit: release-tools
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement requirements/ci.lock $(ARGS)

# Wheel and source archive of the last commit, built twice and the same to the byte; then what they install, as CycloneDX.
dist: release-tools
	$(BIN)/python -m tests.release.dist
sbom: release-tools
	$(BIN)/python -m tests.release.sbom

# The documentation as a website in site/: docs/, README.md, and what docs/generators makes of commands, plugins, checks and the record.
# Anything that leads nowhere is an error. ROBUSTEVAL_REPOSITORY=https://... makes links of what is published there and no page.
site: .venv/.done
ifndef LOCKED
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[docs]"
endif
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

install: .venv/.done

demo: .venv/.done
	$(BIN)/robusteval run examples/fashion-cnn.onnx --suite standard

lint: .venv/.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Three processes on two cores, as some tests wait for processes of their own, which are not to compile everything anew.
test: lint
	$(BIN)/python -m compileall -q robusteval plugins
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal

# While working: lint, and the tests of the core that need no attacks of minutes and no browser.
quick: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not browser" \
		tests/test_architecture.py tests/ops tests/contracts tests/record tests/metrics tests/engine tests/report tests/cli/test_verify.py

# The committed example report, from the record of a run on the shipped model, and the README's picture of its first screen.
example: .venv/.done
	$(BIN)/robusteval run examples/fashion-cnn.onnx --suite standard --out reports/example --overwrite
	$(BIN)/python -m tests.report.picture reports/example/report.html docs/report.png
	cd reports/example && rm -rf units tables record.json samples.parquet witnesses.safetensors proofs.safetensors .robusteval.lock  # the page alone is kept in git

# The reference models that runs on the bundled data are shown beside (docs/references.md). Interrupted, it goes on from there.
# 128 images are one chunk of each attack; REFERENCE_IMAGES=500 takes all that `make demo` does, in four times the time.
REFERENCE_IMAGES ?= 128
KNOWN = --workers 1 \
	--model standard=examples/fashion-cnn.onnx \
	--about "standard=a convolutional network, trained as one trains when nobody attacks" \
	--model pgd-trained=examples/fashion-robust.onnx \
	--about "pgd-trained=the same network, trained on PGD with Linf 0.1 (Madry et al. 2018)" \
	--model gradient-masked=examples/fashion-cnn.onnx --defense gradient-masked=gradient-masking \
	--exact gradient-masked=surrogate=false --limit gradient-masked=64 \
	--about "gradient-masked=the standard one with every activation rounded, so that its gradient vanishes" \
	--model smoothed=examples/fashion-cnn.onnx --defense smoothed=randomized-smoothing:votes=15,steer=4,n0=20,n=50 \
	--draws smoothed=1 --limit smoothed=50 \
	--about "smoothed=the standard one behind randomized smoothing, sigma 0.12, 15 votes (Cohen et al. 2019)"

crosscheck: .venv/.done  # ours beside other libraries' attacks, as far as these are installed (benchmarks/requirements.txt)
	.venv/bin/python benchmarks/crosscheck.py --out benchmarks/results/crosscheck.md $(ARGS)

references: .venv/.done
	$(BIN)/robusteval references build --suite smoke --samples 100 $(KNOWN) --out robusteval/data/references/fashion-mnist-smoke.json
	$(BIN)/robusteval references build --suite standard --samples $(REFERENCE_IMAGES) $(KNOWN) --out robusteval/data/references/fashion-mnist-standard.json

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache mutants site
