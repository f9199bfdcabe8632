# Every target does the set-up that it needs. `make` alone lists the targets.

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-edit test check mutants valgrind doctor bench train models verify install clean-deps

# Tests without torch have a build folder of their own, so that the two feature sets do not undo each other's work.
NO_TORCH := --no-default-features --features element
NO_TORCH_TARGET := target/no-torch
SCRIPTS := .ci/run $(filter-out scripts/lib.sh scripts/setup_%,$(wildcard scripts/*.sh))
# What tests are built as. Built as what is released, they share its dependencies.
PROFILE ?= dev
TESTS := $(shell scripts/test_runner.sh $(PROFILE))
# Several tests run at once: threads that spin while they wait would take the cores from each other.
export OMP_WAIT_POLICY ?= PASSIVE

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done

setup: ## Install what is missing and build the plugin (TORCH=cpu|cuda picks libtorch, LIBTORCH=folder uses your own)
	@scripts/setup.sh

demo: setup ## Turn a clip into a styled one (PROMPT="…" CLIP=file OUT=file EDITED=picture PROPERTIES="name=value …")
	@scripts/demo.sh

demo-edit: setup ## Carry a first frame that was painted over (docs/hand-edited.jpg) through the clip (OUT=file)
	@EDITED=docs/hand-edited.jpg OUT=$(or $(OUT),out/demo-edit.mp4) scripts/demo.sh

test: setup ## Run every test: units, parity with the references, engine, element, the README's commands
	G_DEBUG=fatal_warnings $(TESTS) --locked
	cargo test --profile $(PROFILE) --locked --quiet --doc
	RUSTDOCFLAGS="-D warnings" cargo doc --profile $(PROFILE) --locked --quiet --no-deps
	.deps/venv/bin/python tests/model_import.py
	@scripts/readme_commands.sh

check: ## Check format, spelling, lints and licences, and run the tests that need no torch
	@scripts/setup.sh build
	cargo fmt --check
	@scripts/optional_tool.sh typos
	@scripts/optional_tool.sh shellcheck -a $(SCRIPTS)
	cargo clippy --profile $(PROFILE) --locked --quiet --all-targets -- -D warnings
	CARGO_TARGET_DIR=$(NO_TORCH_TARGET) cargo clippy --profile $(PROFILE) --locked --quiet --all-targets $(NO_TORCH) -- -D warnings
	@scripts/optional_tool.sh cargo-deny --log-level error check licenses bans sources
	@scripts/advisories.sh
	CARGO_TARGET_DIR=$(NO_TORCH_TARGET) G_DEBUG=fatal_warnings $(TESTS) --locked $(NO_TORCH)

mutants: ## Break each promise on a copy and demand that its tests see it (ONLY=05 picks)
	@scripts/setup.sh build
	@scripts/mutants.sh

valgrind: ## Run the identity element under valgrind; fails on errors and leaks of the plugin
	@scripts/setup.sh build
	@scripts/valgrind.sh

doctor: ## Tell what is found and what is missing, each with its cure
	@scripts/doctor.sh

bench: setup ## Time the stages and the whole, as a table
	@scripts/bench.sh

train: setup ## Train the embedded model on this machine (MINUTES=60); goes on where it was stopped
	.deps/venv/bin/python scripts/training_data.py
	cargo run --locked --quiet --release --example train -- --minutes $(or $(MINUTES),60)

models: setup ## Fetch a model's weights from a hub into your data folder (MODEL=sd15; ACCEPT_LICENCE=yes asks nothing)
	@cargo run --locked --quiet --release --example models -- $(or $(MODEL),sd15) $(if $(ACCEPT_LICENCE),--accept-licence)

verify: setup ## Compare a model's weights with the numbers that diffusers' tests publish: yes or no (MODEL=sd15)
	@cargo run --locked --quiet --release --example verify -- $(or $(MODEL),sd15)

install: setup ## Copy plugin, models and libtorch to PREFIX/lib/gstreamer-1.0, or to GStreamer's own plugin folder
	@scripts/install.sh

clean-deps: ## Remove everything that set-up fetched (not what cargo built)
	rm -rf .deps
	git clean -fdXq models
