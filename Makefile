# One profile (--release) and one set of features (--workspace) everywhere: anything else would compile
# RocksDB a second time, a quarter of an hour on two cores.

ifeq ($(filter oneshell,$(.FEATURES)),)
$(error GNU make 4 or newer is needed)
endif

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help
.PHONY: help demo test torture check fix

# These would silently replace the flags of .cargo/config.toml, and the simulator is not
# deterministic without those.
unexport RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS

# rustdoc reads no rustflags, so it is told of the cfg here.
export RUSTDOCFLAGS := -D warnings --cfg tokio_unstable

# Every commit plays seeds that none has played before, and plays the same ones again when it is tested
# again; without a repository they follow from the time.
SEED ?= $(shell printf '%d' 0x$$(git rev-parse --short=9 HEAD 2>/dev/null || date +%s))
SEEDS ?= 200

# `section NAME COMMAND...` runs a command; when the recipe ends, well or not, the times are printed.
define sections
times=()
finish() {
	local code=$$?
	printf '\nmake %s%s\n' '$@' "$$( (( code == 0 )) || echo ': FAILED' )"
	printf '  %-24s %6s\n' "$${times[@]}" 'total' "$${SECONDS} s"
}
trap finish EXIT
section() {
	local name=$$1 start=$$SECONDS code=0
	shift
	printf '\n== %s: %s\n' "$$name" "$$*"
	"$$@" || code=$$?
	times+=("$$name" "$$((SECONDS - start)) s")
	return $$code
}
endef

help:
	printf '%s\n' \
		'make demo          nine nodes in three regions on this machine, shown in acts; then they are yours' \
		'make demo CHECK=1  the same, ends by itself and fails if anything does not hold' \
		'make test          every test' \
		'make test SEED=7 SEEDS=20  the simulator plays so many seeds from this one on (default: 200 from the commit)' \
		'make test FAST=1   the domain, and one seed of the simulator' \
		'make torture MINUTES=5  the real program under load while everything goes wrong; then it is judged.' \
		'                   With root, networks and disks go wrong too; without, it says what it leaves out' \
		'make check         format, lints, documentation, licences and sources of dependencies; changes nothing' \
		'make fix           format, and what clippy can mend' \
		'' \
		'The first build compiles RocksDB: a quarter of an hour on two cores.' \
		'CARGO_TARGET_DIR says where it is kept.'

# The demo's program goes to the foreground last: Ctrl-C is for it.
demo:
	$(sections)
	section setup deploy/setup.sh
	section build cargo build --release --workspace
	meridian=$${CARGO_TARGET_DIR:-target}/release/meridian
ifeq ($(CHECK),1)
	section demo "$$meridian" demo --check --golden node/tests/data/demo.txt
else
	trap - EXIT
	"$$meridian" demo
endif

torture:
	$(sections)
	section setup deploy/setup.sh
	section build cargo build --release --workspace
	section torture $${CARGO_TARGET_DIR:-target}/release/meridian-sim torture --minutes $(or $(MINUTES),5)

test:
	$(sections)
	section setup deploy/setup.sh
ifeq ($(FAST),1)
	# The domain alone: it does not depend on RocksDB, so naming the package compiles little.
	section 'domain tests' cargo test --release --package ledger-domain
	section build cargo build --release --workspace --bins
	section 'one seed' "$${CARGO_TARGET_DIR:-target}/release/meridian-sim" run --seed 1
else
	section 's3 server' deploy/setup.sh s3-server
	section build cargo test --release --workspace --no-run
	section 'unit tests' cargo test --release --workspace --lib --bins
	section 'integration tests' cargo test --release --workspace --test '*'
	simulator=$${CARGO_TARGET_DIR:-target}/release/meridian-sim
	section determinism "$$simulator" check-determinism --seed $(SEED)
	section 'fresh seeds' "$$simulator" explore --seeds $(SEEDS) --from $(SEED)
	# It says what it leaves out where namespaces are not allowed.
	section torture "$$simulator" torture --seconds 120
	# The simulator's own build of the same packages: with its known bugs, and without `meridian`, which
	# must never have them. Last, because it builds `meridian-sim` anew.
	section 'known bugs' cargo test --release --workspace --features simulator/planted-bugs --test known_bugs
	section 'documentation tests' cargo test --release --workspace --doc
	section demo "$${CARGO_TARGET_DIR:-target}/release/meridian" demo --check --golden node/tests/data/demo.txt
endif

check:
	$(sections)
	section setup deploy/setup.sh
	section format cargo fmt --all --check
	section clippy cargo clippy --locked --release --workspace --all-targets -- -D warnings
	section documentation cargo doc --locked --release --workspace --no-deps
	section 'cargo-deny' deploy/setup.sh cargo-deny
	section 'licences and sources' "$$(deploy/setup.sh cargo-deny)" --locked check licenses bans sources

fix:
	$(sections)
	section setup deploy/setup.sh
	section clippy cargo clippy --release --workspace --all-targets --fix --allow-dirty --allow-staged
	section format cargo fmt --all
