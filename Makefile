# What one does with this tree. Needed: rustup and make; `make test` fetches the rest or says what to install.

CARGO ?= cargo
# Where cargo builds the workspace; guests and examples have target folders of their own, since job.toml files name what
# is built there.
TARGET_DIR = $(or $(CARGO_TARGET_DIR),target)
WASM = wasm32-wasip2

.PHONY: help demo test soak bench examples guests hosts fmt lint deny wasm-target

help:
	@echo 'make demo       build, and show a leader job and a scheduled job on one host for 20 seconds'
	@echo 'make test       install what the tests need, and run them all'
	@echo 'make soak       run what finds rare faults for long: 100 000 simulations, and real hosts and servers under fire'
	@echo 'make bench      measure speed against peers and floors; BENCH_JSON=FILE writes the table as JSON too'
	@echo 'make examples   build the examples in examples/'
	@echo 'make guests     build the components that the tests run'
	@echo 'make fmt        format all Rust code'
	@echo 'make lint       check formatting and lints, as .ci/run does'
	@echo 'make deny       check licences, duplicates, sources and, where it can be had, the data base of advisories'

# Nothing but the two builds is needed: no ZooKeeper, no Java.
demo: hosts examples
	@sh examples/demo.sh '$(TARGET_DIR)/debug/silverback'

test: prepare hosts guests examples
	$(CARGO) test --workspace

# The seeds that `make test` runs 2 000 of. A seed that fails is printed with how to see it alone.
soak: prepare hosts guests
	SILVERBACK_SIM_SEEDS=100000 $(CARGO) test --workspace --test sim invariants -- --nocapture
	SILVERBACK_SIM_SEEDS=100000 $(CARGO) test --workspace --lib simulation::invariants -- --nocapture
	SILVERBACK_SIM_SEEDS=20 $(CARGO) test --workspace --lib oracle::tests -- --nocapture
	SILVERBACK_SOAK=1 $(CARGO) test --workspace --lib group_life -- --nocapture
	RUST_BACKTRACE=0 SILVERBACK_SOAK=1 $(CARGO) test --workspace --lib fuzz -- --nocapture --test-threads 1
	SILVERBACK_SOAK=1 $(CARGO) test --workspace --test cluster -- --nocapture --test-threads 1 \
		attrition black_hole bugs chaos company ensemble frozen isolation many schedules stale_finish

# A release build, as an operator runs it. The hosts are built together with the bench, since apart they would differ in
# features of what both stand on, and a part of it would be built twice.
bench: prepare guests
	$(CARGO) build --release --workspace --bins --bench bench
	$(CARGO) bench --workspace --bench bench

# Tools that only the tests and the bench need: ZooKeeper and Curator with Java, Python with venv, libfaketime,
# setpriv, npm, clang and wasi-libc.
.PHONY: prepare
prepare:
	@sh tests/prepare.sh

# All binaries with the features that the workspace as a whole asks for, so that `cargo test --workspace` finds what they
# are built on and doesn't build it again.
hosts:
	$(CARGO) build --workspace --bins

examples: wasm-target
	$(CARGO) build --release --target $(WASM) --manifest-path examples/Cargo.toml --target-dir examples/target

guests: wasm-target
	$(CARGO) build --release --target $(WASM) --manifest-path tests/guests/Cargo.toml --target-dir tests/guests/target

fmt:
	$(CARGO) fmt --all
	$(CARGO) fmt --all --manifest-path examples/Cargo.toml
	$(CARGO) fmt --all --manifest-path tests/guests/Cargo.toml

lint: wasm-target
	$(CARGO) fmt --all --check
	$(CARGO) fmt --all --manifest-path examples/Cargo.toml --check
	$(CARGO) fmt --all --manifest-path tests/guests/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --target $(WASM) --manifest-path examples/Cargo.toml --target-dir examples/target -- -D warnings
	$(CARGO) clippy --target $(WASM) --manifest-path tests/guests/Cargo.toml --target-dir tests/guests/target -- -D warnings

# What deny.toml says. It asks for cargo-deny, which is built where it is missing.
deny:
	@sh tests/deny.sh

# The standard library for components, where it is missing.
wasm-target:
	@test -d "$$(rustc --print sysroot)/lib/rustlib/$(WASM)" || rustup target add $(WASM) \
		|| { echo 'needed: the Rust target $(WASM) (rustup target add $(WASM))' >&2; exit 1; }
