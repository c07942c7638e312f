# `make demo` fuses the example pairs, `make test` runs the tests, and with TESTS=--guards
# those that take long as well, `make lint` checks style and types, `make docs` builds the
# documents (Python 3.11 or newer). Each sets up what it needs in .venv first, on a machine
# that has make and Python 3.10 to 3.13.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$python -c 'import ensurepip, sys, venv; \
	sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)

# A stamp is named after what was installed, so that a change of it sets up anew.
VERSION := $(shell (echo $(PYTHON); cat constraints.txt setup.cfg) | cksum | cut -d' ' -f1)

.PHONY: demo test lint docs
.SILENT:

demo: .venv/core-$(VERSION)
	for strategy in addition l1_norm; do \
		.venv/bin/python fuse.py --ir=examples/pairs/ir --vis=examples/pairs/vis \
			--strategy=$$strategy --output=out/demo/$$strategy \
			--panel=out/demo/$$strategy.png || exit; \
	done
	echo "fused images: out/demo/addition/ and out/demo/l1_norm/"
	echo "side by side: out/demo/addition.png and out/demo/l1_norm.png"

test: .venv/test-$(VERSION)
	.venv/bin/python -m pytest -n 2 --dist loadfile $(TESTS)

lint: .venv/dev-$(VERSION)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

docs: .venv/docs-$(VERSION)
	TF_CPP_MIN_LOG_LEVEL=3 .venv/bin/python -m sphinx -q -W --keep-going docs docs/_build
	echo "the documents: docs/_build/index.html"

# Where a copy of the package was installed before, pip leaves Numba's files in a folder that
# would hide the package: it is removed.
.venv/core-$(VERSION): EXTRAS =
.venv/test-$(VERSION): EXTRAS = [test]
.venv/docs-$(VERSION): EXTRAS = [docs]
.venv/dev-$(VERSION): EXTRAS = [dev]
.venv/%-$(VERSION):
	test -n "$(PYTHON)" || { echo "Python 3.10 to 3.13 with venv is needed" >&2; exit 2; }
	ls .venv/*-$(VERSION) >/dev/null 2>&1 || rm -rf .venv
	echo "setting up .venv: once, some minutes"
	test -x .venv/bin/pip || $(PYTHON) -m venv .venv
	.venv/bin/pip install -qq -c constraints.txt -e '.$(EXTRAS)'
	rm -rf .venv/lib/python3*/site-packages/densefuse_tf
	touch $@
