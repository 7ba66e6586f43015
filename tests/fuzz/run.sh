#!/usr/bin/env bash
# Fuzzes: runs each target for so many seconds and fails on a finding.
#
#   tests/fuzz/run.sh SECONDS            all targets
#   tests/fuzz/run.sh SECONDS TARGET...  these targets
#
# A finding is left in tests/fuzz/artifacts; `cargo fuzz run --fuzz-dir tests/fuzz TARGET FILE`
# plays it again. With stable Rust alone set RUSTC_BOOTSTRAP=1 for that, as is done here.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:?usage: run.sh SECONDS [TARGET...]}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(sed -n '/^\[\[bin/,$s/^name = "\(.*\)"$/\1/p' Cargo.toml)
fi

if ! command -v cargo-fuzz >/dev/null; then
    cargo install --locked --quiet cargo-fuzz
fi
# Sanitizers are an unstable flag of the compiler: nightly has them, stable is talked into it.
cargo=(cargo)
if rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
    cargo=(cargo +nightly)
else
    export RUSTC_BOOTSTRAP=1
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
rustc --edition 2024 -O seeds.rs -o "$scratch/seeds"
"$scratch/seeds" "$scratch/inputs"

for target in "${targets[@]}"; do
    mkdir -p "corpus/$target"
    # Frames of 64 KB add nothing but time: inputs are cut.
    "${cargo[@]}" fuzz run --fuzz-dir . "$target" "corpus/$target" "$scratch/inputs" -- \
        -max_total_time="$seconds" -max_len=8192 -timeout=10 -verbosity=0 -print_final_stats=1
done
