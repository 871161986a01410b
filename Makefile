# Entry points, each doing its own set-up on a fresh Debian machine as root
# (tools/setup). What is built, and how, is in meson.build.
#
#   make build         build/reftracer, which finds its agent beside it
#   make demo          trace the example service and show the report
#   make test          all tests, on all CPythons (up to 20 minutes)
#   make check-quick   unit tests and the tests of one CPython
#   make bench         the benchmarks; fills the table in README.md
#   make lint          formatting, clang-tidy; gcc, clang and aarch64 without a warning
#   make format        clang-format over all C files
#   make install       to PREFIX (/usr/local), DESTDIR respected
#   make clean

PREFIX ?= /usr/local
DESTDIR ?=
REFTRACER_CACHE ?= /var/cache/reftracer
# Runs of each fuzz target. The same seed each time: what CI tests does not change by
# itself. To look for more: make test-fuzz FUZZ_RUNS=10000000 FUZZ_SEED=0
FUZZ_RUNS ?= 50000
FUZZ_SEED ?= 1
export REFTRACER_CACHE

# UBSan stops at its first finding instead of going on; LeakSanitizer stays on.
export UBSAN_OPTIONS = halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS = halt_on_error=1

pytest = .venv/bin/python -m pytest
fuzz_targets = $(notdir $(basename $(wildcard tests/fuzz/fuzz_*.c)))

# The suites one after the other, also under -j (or MAKEFLAGS): each uses all processors.
.NOTPARALLEL:
.PHONY: build demo test test-setup test-unit test-sanitized test-threads test-fuzz test-python \
	check-quick bench lint format install clean

build:
	@tools/setup build
	@tools/build build

demo:
	@tools/setup demo
	@tools/build build
	@tools/demo

# --- tests ---------------------------------------------------------------------

test: test-unit test-sanitized test-threads test-fuzz test-python

test-setup:
	@tools/setup test
	@tools/build build

test-unit: test-setup
	meson test -C build --no-rebuild --print-errorlogs --suite unit --suite stress

# ASan and UBSan over the unit tests; tests/test_sanitized.py traces programs with them.
test-sanitized: test-setup
	tools/build build-asan -Db_sanitize=address,undefined -Db_lundef=false
	meson test -C build-asan --no-rebuild --print-errorlogs --suite unit

# TSan over the tests that have several threads.
test-threads: test-setup
	tools/build build-tsan -Db_sanitize=thread -Db_lundef=false
	meson test -C build-tsan --no-rebuild --print-errorlogs --suite stress

# A bounded run of each libFuzzer target.
test-fuzz: test-setup
	CC=clang tools/build build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
	@for target in $(fuzz_targets); do \
		tools/fuzz build-fuzz/tests/fuzz/$$target $(FUZZ_RUNS) $(FUZZ_SEED) || exit 1; \
	done

test-python: test-setup
	@tools/test-python

check-quick: test-unit
	$(pytest) -q -n 2 tests --pythons 3.14

# --- the rest --------------------------------------------------------------------

bench:
	@tools/setup bench
	@tools/build build
	python3 bench/run.py --write
	python3 bench/looks.py --write

lint:
	@tools/setup lint
	@tools/lint

format:
	@tools/setup lint
	find src include tests -name '*.[ch]' | xargs clang-format -i

install: build
	meson configure build --prefix "$(abspath $(PREFIX))"
	@tools/build build
	DESTDIR="$(DESTDIR)" meson install -C build --no-rebuild

clean:
	rm -rf build build-asan build-tsan build-fuzz build-gcc build-clang
