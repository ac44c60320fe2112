# Townhall: what a person types. Each target does what is missing first, and nothing twice.
#   make run     the office: a window where there is a screen, else the server with its address
#   make test    every check and every test
#   make bench   the figures, on a quiet machine
#   make lint    format, clippy, the pages' own checks
#   make setup   what the above need from the system and from npm
#   make windows  that all of it compiles for Windows too
#   make dist    the package for Debian and Ubuntu (deb) and for Fedora (rpm), in target/desktop/release/bundle

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := run
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# Not `npm ci`: it refuses a lock file that lacks the packages of other systems, which some mirrors do not carry.
NPM_INSTALL := npm install --no-save --no-audit --no-fund --loglevel=error
ARGS ?=

# A window needs a screen; Windows and macOS always have one.
SCREEN := $(or $(DISPLAY),$(WAYLAND_DISPLAY),$(filter Windows_NT,$(OS)),$(filter Darwin,$(shell uname -s)))

UI_SOURCES := $(shell find ui -type d \( -name node_modules -o -name dist \) -prune -o -type f -print 2>/dev/null)
NPM_PROJECTS := $(patsubst %/package-lock.json,%,$(wildcard ui/package-lock.json tests/*/package-lock.json))
INSTALLED := $(addsuffix /node_modules/.installed,$(NPM_PROJECTS))

.PHONY: run run-window run-server test bench lint setup windows dist ui packages-test

run: $(if $(SCREEN),run-window,run-server)

run-window: ui
	.ci/packages build desktop
	CARGO_TARGET_DIR=target/desktop cargo run --locked --features desktop --bin townhall-desktop -- $(ARGS)

run-server: ui
	.ci/packages build
	cargo run --locked --bin townhall -- serve $(ARGS)

ui: ui/node_modules/.built

# The program carries the pages inside: when they change, it has to look at them again.
ui/node_modules/.built: $(UI_SOURCES) ui/node_modules/.installed
	mkdir -p target
	cd ui && npm run --silent build > ../target/ui-build.log 2>&1 || { cat ../target/ui-build.log; exit 1; }
	touch src-tauri/build.rs
	touch $@

%/node_modules/.installed: %/package.json %/package-lock.json
	cd $* && $(NPM_INSTALL)
	touch $@

packages-test:
	.ci/packages build desktop window browser lan redis

setup: packages-test $(INSTALLED)
	cargo fetch --locked --quiet

test: setup ui
	.ci/test $(STEPS)

lint: setup
	.ci/test lint

# The comparisons are with programs of Node, and with Redis.
bench: setup ui
	cargo bench --locked --bench figures -- $(ARGS)

windows: ui
	.ci/packages build windows
	rustup target add x86_64-pc-windows-gnu
	CARGO_TARGET_DIR=target/windows cargo clippy --locked --target x86_64-pc-windows-gnu --features desktop --all-targets -- -D warnings

dist: ui
	.ci/packages build desktop dist
	CARGO_TARGET_DIR=target/desktop npx --yes @tauri-apps/cli@2.12.5 build $(ARGS)
