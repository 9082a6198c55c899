# Two commands matter: `make demo PROMPT="a cat on a blue background"` and `make check`. `make help` lists the rest.
PROMPT = a cat on a blue background
MODEL ?= models/tintype-mini.gguf
OUTPUT ?= demo.png
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
BUILD = build/release
# CMake runs a make of its own where there is no ninja: this one's flags are not for it.
CMAKE = env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL cmake

export PROMPT MODEL OUTPUT

MAKEFLAGS += --no-print-directory

.PHONY: help demo demo-cloud build build-service bench check check-service format install setup setup-service setup-check vocabulary fuzz coverage clean
.DEFAULT_GOAL := build

help:
	@echo 'make demo PROMPT="..."   install what is missing, build, and paint a 512x512 picture to $(OUTPUT)'
	@echo 'make demo-cloud          the same by way of the upscale service, started and stopped on this machine'
	@echo 'make check               install what is missing and run every check'
	@echo 'make check-service       load and crash tests of the service at full length: some minutes'
	@echo 'make build               build the library and the program in $(BUILD)'
	@echo 'make install PREFIX=...  install them (default $(PREFIX))'
	@echo 'make bench               build the speed measurements in $(BUILD) (docs/speed.md)'
	@echo 'make format              format the C sources'
	@echo 'make vocabulary          fetch the CLIP vocabulary into share/ (for checkpoints that bring none)'
	@echo 'make fuzz                search for crashing inputs, a minute for each target'
	@echo 'make coverage            line coverage of the library by the tests'
	@echo 'make clean               remove build/'

setup:
	@scripts/setup-debian.sh demo

setup-service:
	@scripts/setup-debian.sh service

setup-check:
	@scripts/setup-debian.sh check

build:
	@$(CMAKE) $$(test ! -f $(BUILD)/CMakeCache.txt && command -v ninja >/dev/null && echo -G Ninja) -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=Release \
	    -DCMAKE_INSTALL_PREFIX="$(PREFIX)" -DTINTYPE_TESTS=OFF --log-level=WARNING
	@$(CMAKE) --build $(BUILD) -j $(JOBS) --target tintype-static tintype tintype-cli

bench: build
	@$(CMAKE) -S . -B $(BUILD) -DTINTYPE_BENCH=ON --log-level=WARNING
	@$(CMAKE) --build $(BUILD) -j $(JOBS) --target bench-attention bench-kernels bench-unet peak

demo: setup
	@$(MAKE) build
	@$(BUILD)/tintype -m "$$MODEL" -p "$$PROMPT" -o "$$OUTPUT"

build-service: build
	@$(CMAKE) -S . -B $(BUILD) -DTINTYPE_SERVICE=ON --log-level=WARNING
	@$(CMAKE) --build $(BUILD) -j $(JOBS) --target tintype-gate tintype-worker tintype-service

demo-cloud: setup-service
	@$(MAKE) build-service
	@scripts/demo-cloud.sh $(BUILD) "$$OUTPUT"

check: setup-check
	@scripts/check.sh

check-service: setup-check
	@scripts/check-service.sh

format:
	@scripts/check-format.sh --fix

install: build
	@cmake --install $(BUILD)

vocabulary:
	@scripts/fetch-vocabulary.sh

fuzz: setup-check
	@scripts/fuzz.sh

coverage: setup-check
	@scripts/coverage.sh

clean:
	@rm -rf build
