# Lambent. `make` lists the targets.

TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
PROFILE := $(if $(CI),ci,default)

.PHONY: help deps build demo programs fixtures test test-v2 test-v1 lint advisories bench bench-import bench-limits bench-serve bench-start bench-ab bench-tune bench-smoke fuzz

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 16

deps: ## Install what the other targets need (Debian, as root)
	.ci/deps.sh demo test lint

build: ## Build target/release/lambent and the sample function beside it
	.ci/deps.sh build
	cargo build --locked --release -p lambent
	cargo rustc --locked --release -p lambent-demo-function -- -C target-feature=+crt-static

demo: ## Show what Lambent does
	.ci/deps.sh demo
	@$(MAKE) --no-print-directory build
	$(TARGET)/release/lambent demo

# Tests and tools are built with the whole workspace, whatever is asked for: features of
# dependencies are those of what is built together, and each set would be built anew.
programs:
	.ci/deps.sh test
	cargo build --locked --workspace --all-targets

fixtures: programs ## Build the images that the end-to-end tests run
	$(TARGET)/debug/fixtures

test: fixtures ## Run all tests
	LAMBENT_BIN=$(abspath $(TARGET))/debug/lambent cargo nextest run --locked --workspace --profile $(PROFILE)
	cargo test --locked --workspace --doc

test-v2: fixtures ## Run tests on cgroup v2 alone, in a virtual machine; ALL=1, ONLY=FILTER, KERNEL=PACKAGE
test-v1: fixtures ## The same on cgroup v1 alone
test-v2 test-v1:
	.ci/deps.sh test-vm
	LAMBENT_BIN=$(abspath $(TARGET))/debug/lambent $(TARGET)/debug/test_vm \
		--cgroup $(@:test-%=%) $(if $(ALL),--all) $(if $(ONLY),--only '$(ONLY)') \
		$(if $(KERNEL),--kernel $(KERNEL))

lint: ## Check formatting, lints and dependencies
	.ci/deps.sh lint
	cargo fmt --all --check
	cargo fmt --manifest-path images/fuzz/Cargo.toml --check
	cargo fmt --manifest-path e2e/clients/aws-sdk-rust/Cargo.toml --check
	cargo fmt --manifest-path e2e/clients/lambda-events/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo deny --config .cargo/deny.toml check bans licenses sources

advisories: ## Check dependencies for known faults (fetches the database)
	.ci/deps.sh lint
	cargo deny --config .cargo/deny.toml check advisories

bench: bench-import bench-limits bench-serve bench-start bench-tune ## All benches

bench-import: ## Compare imports of images; ONLY=python|small|large ROUNDS=N PEERS=none
	.ci/deps.sh bench
	cargo run --locked --release -p lambent-e2e --bin bench_import -- \
		$(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(filter none,$(PEERS)),--no-peers)

bench-limits: ## Measure limits; ONLY=share|memory|neighbours|failures|mixture
	.ci/deps.sh test
	@$(MAKE) --no-print-directory build
	LAMBENT_BIN=$(abspath $(TARGET))/release/lambent \
		cargo run --locked --release -p lambent-e2e --bin bench_limits -- $(ONLY)

bench-serve: ## A service under load, and for a long time; ONLY=load|soak
	.ci/deps.sh test
	@$(MAKE) --no-print-directory build
	LAMBENT_BIN=$(abspath $(TARGET))/release/lambent \
		cargo run --locked --release -p lambent-e2e --bin bench_serve -- $(ONLY)

START := $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SIZE),--size $(SIZE))

bench-start: ## How fast it is; ONLY=cold|invoke|warm|python|throughput|burst|density|command ROUNDS=N SIZE=large
	.ci/deps.sh test bench
	@$(MAKE) --no-print-directory build
	LAMBENT_BIN=$(abspath $(TARGET))/release/lambent \
		cargo run --locked --release -p lambent-e2e --bin bench_start -- $(START)

# The other revision is built in a checkout of its own, with a target directory of its own.
bench-ab: ## The same beside another revision: BASE=rev ONLY=... ROUNDS=N
	@test -n '$(BASE)' || { echo 'make bench-ab BASE=rev: which revision?' >&2; exit 2; }
	.ci/deps.sh test bench
	@$(MAKE) --no-print-directory build
	git worktree remove --force $(TARGET)/base/checkout 2>/dev/null || true
	git worktree prune
	git worktree add --detach $(TARGET)/base/checkout '$(BASE)'
	cd $(TARGET)/base/checkout && CARGO_TARGET_DIR=$(abspath $(TARGET))/base/target \
		cargo build --locked --release -p lambent
	git worktree remove --force $(TARGET)/base/checkout
	LAMBENT_BIN=$(abspath $(TARGET))/release/lambent \
		cargo run --locked --release -p lambent-e2e --bin bench_start -- $(START) \
		--against $(abspath $(TARGET))/base/target/release/lambent

bench-tune: ## What tune and soak find in functions that are known; ONLY=tune|processes|waiting|memory|soak
	.ci/deps.sh test
	@$(MAKE) --no-print-directory build
	LAMBENT_BIN=$(abspath $(TARGET))/release/lambent \
		cargo run --locked --release -p lambent-e2e --bin bench_tune -- $(ONLY)

# Not the release build, which takes minutes: figures are not what this is for.
bench-smoke: programs ## Run the benches on tiny inputs, with the peers that are installed
	LAMBENT_BIN=$(abspath $(TARGET))/debug/lambent $(TARGET)/debug/bench_serve --smoke
	LAMBENT_BIN=$(abspath $(TARGET))/debug/lambent $(TARGET)/debug/bench_start --smoke
	$(TARGET)/debug/bench_import --smoke

fuzz: ## Fuzz what reads untrusted bytes; FUZZ_SECONDS=60 for each target
	.ci/deps.sh fuzz
	.ci/fuzz.sh $(TARGET)
