#!/usr/bin/env bash
# What cargo cannot fetch by itself.
#
#   deploy/setup.sh             the system's packages: libclang (RocksDB's bindings are generated) and a C++ compiler
#   deploy/setup.sh cargo-deny  the same for cargo-deny; prints the path of the program on stdout
#   deploy/setup.sh s3-server   a server that speaks S3's protocol, for tests of backups and archives; prints its path
#   deploy/setup.sh bookkeeping beancount and hledger, which tests ask about exported journals; prints the paths
#                               of bean-check and hledger on stdout
#
# Does nothing, quickly, where everything is there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly CARGO_DENY_VERSION=0.20.2
# The tests look for it by this version, too: node/tests/nodes/s3.rs.
readonly S3S_FS_VERSION=0.14.1
readonly BEANCOUNT_VERSION=3.2.3

say() { printf '%s\n' "$*" >&2; }

have_rust() {
    # Asked from inside the checkout, so that rustup answers for the toolchain of rust-toolchain.toml.
    cargo --version >/dev/null 2>&1
}

have_libclang() {
    # bindgen needs the library and the compiler's own headers (stddef.h), and Debian packs them apart.
    [[ -n "${LIBCLANG_PATH:-}" ]] && return
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null &&
        compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null
}

have_cxx() {
    command -v "${CXX:-c++}" >/dev/null
}

require_rust() {
    have_rust && return
    local channel
    channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    say "Rust $channel is missing. Install rustup (https://rustup.rs), then:"
    say "    rustup toolchain install $channel --component rustfmt --component clippy"
    exit 1
}

install_packages() {
    local missing=()
    have_libclang || missing+=(libclang-dev)
    have_cxx || missing+=(g++)
    ((${#missing[@]})) || return 0

    if ! command -v apt-get >/dev/null; then
        say "Missing: ${missing[*]} (as Debian and Ubuntu name them)."
        say "Install libclang with its headers and a C++20 compiler, by these names:"
        say "    Fedora   clang-devel gcc-c++"
        say "    Arch     clang gcc"
        say "    Alpine   clang-dev g++"
        say "    macOS    brew install llvm, and LIBCLANG_PATH=\"\$(brew --prefix llvm)/lib\""
        exit 1
    fi

    apt_install "${missing[@]}"
}

apt_install() {
    local as_root=()
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            say "Missing: $*. As root: apt-get install $*"
            exit 1
        fi
        as_root=(sudo)
    fi
    say "Installing $*"
    "${as_root[@]}" apt-get update -qq >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "$@" >&2
}

# `install_program NAME VERSION FLAG...` compiles a program with a table of what it depends on of its own, so
# that nothing of it gets into this project's.
install_program() {
    local name=$1 version=$2 root
    shift 2
    root="${XDG_CACHE_HOME:-$HOME/.cache}/meridian-tools/$name-$version"
    if [[ ! -x "$root/bin/$name" ]]; then
        say "Installing $name $version in $root, once"
        # Profiles of their own (fat LTO, one codegen unit) buy nothing here and take several times as long.
        CARGO_TARGET_DIR="$root/target" \
            CARGO_PROFILE_RELEASE_LTO=off \
            CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
            CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
            cargo install "$name" --version "$version" --locked --quiet --root "$root" "$@" >&2
        rm -rf "$root/target"
    fi
    printf '%s\n' "$root/bin/$name"
}

install_bookkeeping() {
    # The tests look in the same place: node/tests/nodes/export.rs.
    local venv="${XDG_CACHE_HOME:-$HOME/.cache}/meridian-tools/beancount-$BEANCOUNT_VERSION"
    if [[ ! -x "$venv/bin/bean-check" ]]; then
        say "Installing beancount $BEANCOUNT_VERSION in $venv, once"
        python3 -m venv "$venv" || {
            say "A Python 3 with venv is missing (Debian: python3-venv)."
            exit 1
        }
        "$venv/bin/pip" install --quiet --disable-pip-version-check "beancount==$BEANCOUNT_VERSION" >&2
    fi
    if ! command -v hledger >/dev/null; then
        if ! command -v apt-get >/dev/null; then
            say "hledger is missing: https://hledger.org/install.html"
            exit 1
        fi
        apt_install hledger
    fi
    printf '%s\n' "$venv/bin/bean-check" "$(command -v hledger)"
}

require_rust
case "${1:-packages}" in
packages) install_packages ;;
cargo-deny)
    install_packages
    install_program cargo-deny "$CARGO_DENY_VERSION"
    ;;
s3-server) install_program s3s-fs "$S3S_FS_VERSION" --features binary ;;
bookkeeping) install_bookkeeping ;;
*)
    say "usage: deploy/setup.sh [packages|cargo-deny|s3-server|bookkeeping]"
    exit 2
    ;;
esac
