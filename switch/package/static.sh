#!/usr/bin/env bash
# Builds the program as one file that needs no library of the system, and tries it:
# `switch/package/static.sh [PROFILE]`, from anywhere in the tree. The profile is `release`, unless
# said. It ends up stripped in target/static (of $CARGO_TARGET_DIR, if that is set).
set -euo pipefail
cd "$(dirname "$0")/../.."

profile=${1:-release}
triple=$(uname -m)-unknown-linux-musl
target=${CARGO_TARGET_DIR:-target}
rustup target list --installed | grep -qx "$triple" || rustup target add "$triple"
cargo build --quiet --profile "$profile" --target "$triple" --package uswitch --bin uswitch

mkdir -p "$target/static"
uswitch=$target/static/uswitch
folder=$profile
[ "$profile" != dev ] || folder=debug
strip -o "$uswitch" "$target/$triple/$folder/uswitch"
ldd "$uswitch" 2>&1 | grep -qE 'statically linked|not a dynamic executable' ||
    { echo "$uswitch needs libraries of the system" >&2; exit 1; }
"$uswitch" --version
"$uswitch" check switch/package/uswitch.toml
# Hosts, a switch and what goes between them, where that can be.
if [ "$(id -u)" = 0 ]; then
    "$uswitch" demo | grep '^Done in '
fi
echo "$uswitch"
