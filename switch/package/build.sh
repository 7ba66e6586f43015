#!/usr/bin/env bash
# Builds the Debian package and tries it: `switch/package/build.sh`, from anywhere in the tree. It
# ends up in target/debian (of $CARGO_TARGET_DIR, if that is set). Needs cargo-deb.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release --package uswitch --bin uswitch
uswitch=$target/release/uswitch

# What the program says of itself. cargo-deb looks for it beside the tree's own manifest.
mkdir -p target/package
"$uswitch" generate man >target/package/uswitch.1
"$uswitch" generate completions bash >target/package/uswitch.bash
"$uswitch" generate completions zsh >target/package/_uswitch
"$uswitch" generate completions fish >target/package/uswitch.fish

package=$(cargo deb --quiet --no-build --package uswitch)

# Unpacked elsewhere, it works, and has what it should have.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
dpkg-deb --extract "$package" "$root"
dpkg-deb --ctrl-tarfile "$package" | tar -xO ./conffiles | grep -qx /etc/uswitch/uswitch.toml
"$root/usr/bin/uswitch" --version
"$root/usr/bin/uswitch" check "$root/etc/uswitch/uswitch.toml"
for file in usr/lib/systemd/system/uswitch{,@}.service usr/share/man/man1/uswitch.1.gz \
    usr/share/bash-completion/completions/uswitch usr/share/zsh/vendor-completions/_uswitch \
    usr/share/fish/vendor_completions.d/uswitch.fish usr/share/doc/uswitch/copyright; do
    [ -s "$root/$file" ] || { echo "$package has no $file" >&2; exit 1; }
done
sed -i "s,/usr/bin/uswitch,$root/usr/bin/uswitch," "$root"/usr/lib/systemd/system/*.service
systemd-analyze verify --man=no "$root"/usr/lib/systemd/system/*.service
echo "$package"
