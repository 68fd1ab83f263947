#!/bin/sh
# Checks what the tree stands on, for the hosts and for the guests, with cargo-deny; builds that in the user's cache folder where
# it is missing.
set -eu
cd "$(dirname "$0")/.."

version=0.20.2
tools="${XDG_CACHE_HOME:-$HOME/.cache}/silverback/tools"
deny="$tools/bin/cargo-deny"
[ "$("$deny" --version 2>/dev/null || true)" = "cargo-deny $version" ] ||
    CARGO_TARGET_DIR="$tools/target" cargo install --locked --root "$tools" "cargo-deny@$version"
rm -rf "$tools/target"

checks='licenses bans sources'
if "$deny" --log-level off fetch db 2>/dev/null; then
    checks="$checks advisories"
else
    echo 'the data base of advisories can not be had from here: they are not checked' >&2
fi
for manifest in Cargo.toml examples/Cargo.toml tests/guests/Cargo.toml; do
    echo "$manifest:"
    # Builds fetch what this machine needs; what is checked is what any does.
    cargo fetch --quiet --locked --manifest-path "$manifest"
    # A guest has less in it than deny.toml allows for.
    # shellcheck disable=SC2086
    "$deny" --manifest-path "$manifest" --config "$PWD/deny.toml" --locked --offline check --hide-inclusion-graph \
        --allow license-not-encountered --allow unmatched-skip $checks
done
