# Entry points. Each does its own set-up on a fresh Debian machine as root;
# meson.build is what builds.

BUILD ?= build
CACHE := $(or $(REFTRACER_CACHE),/var/cache/reftracer)
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
VENV ?= .venv

export REFTRACER_CACHE := $(CACHE)

.PHONY: all build setup demo test check-quick bench lint install clean

all: build

setup:
	@tools/setup build

build: setup
	@tools/build $(BUILD)

clean:
	rm -rf build build-*
