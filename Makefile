# `make demo` fuses the example pairs, `make test` runs the tests. Either sets up what it
# needs in .venv first, on a machine that has Python 3.10 to 3.13 and make.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$python -c 'import ensurepip, sys, venv; \
	sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)

# Named after what was installed, so that a change of it sets up anew.
STAMP := .venv/$(shell (echo $(PYTHON); cat constraints.txt setup.cfg) | cksum | cut -d' ' -f1)

.PHONY: demo test
.SILENT:

demo: $(STAMP)
	for strategy in addition l1_norm; do \
		.venv/bin/python fuse.py --ir=examples/pairs/ir --vis=examples/pairs/vis \
			--strategy=$$strategy --output=out/demo/$$strategy \
			--panel=out/demo/$$strategy.png || exit; \
	done
	echo "fused images: out/demo/addition/ and out/demo/l1_norm/"
	echo "side by side: out/demo/addition.png and out/demo/l1_norm.png"

test: $(STAMP)
	.venv/bin/python -m pytest -n 2 --dist loadfile

$(STAMP):
	test -n "$(PYTHON)" || { echo "Python 3.10 to 3.13 with venv is needed" >&2; exit 2; }
	echo "setting up .venv: once, some minutes"
	rm -rf .venv
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -qq -c constraints.txt -e '.[test,beam,litert,onnx]'
	touch $@
