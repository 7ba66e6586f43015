#!/usr/bin/env bash
# A kernel for the guests of `cargo test -p uswitch-tests --test vm`: Debian's for machines in
# clouds, with the few modules that a guest needs to have a network card, and those of the devices
# that a switch in a guest makes. Nothing is installed: the package is fetched and the files are
# taken out of it, into target/guest.
#
#   tests/vm/kernel.sh [FOLDER]
set -euo pipefail
folder=${1:-$(dirname "$0")/../../target/guest}

if [ -e "$folder/vmlinuz" ] && [ -e "$folder/dummy.ko" ]; then
    echo "the guests' kernel is there: $(cat "$folder/package")"
    exit
fi

fetched=$(mktemp -d)
trap 'rm -rf "$fetched"' EXIT
# The package with a version in its name, on which that of the newest one depends.
newest() {
    apt-cache depends linux-image-cloud-amd64 2>/dev/null |
        awk '/Depends: linux-image-/ { print $2 }' | sort -V | tail -n 1
}
package=$(newest)
if [ -z "$package" ]; then
    apt-get update -q >/dev/null
    package=$(newest)
fi
[ -n "$package" ] || { echo "apt knows no package linux-image-cloud-amd64" >&2; exit 1; }
# apt fetches as a user of its own where it can, and says so where it cannot.
(cd "$fetched" && apt-get download -q -o APT::Sandbox::User=root "$package" >/dev/null)
dpkg --fsys-tarfile "$fetched"/*.deb | tar --extract --directory "$fetched" --wildcards \
    './boot/vmlinuz-*' '*/drivers/virtio/*' '*/drivers/net/virtio_net.ko*' \
    '*/drivers/net/net_failover.ko*' '*/net/core/failover.ko*' \
    '*/drivers/net/tun.ko*' '*/drivers/net/tap.ko*' '*/drivers/net/macvlan.ko*' \
    '*/drivers/net/macvtap.ko*' '*/drivers/net/veth.ko*' '*/drivers/net/dummy.ko*'

mkdir -p "$folder"
find "$fetched/lib" -name '*.ko.xz' -exec unxz {} +
find "$fetched/lib" -name '*.ko' -exec mv -t "$folder" {} +
echo "$package" >"$folder/package"
# Last: it says that all is there.
mv "$fetched"/boot/vmlinuz-* "$folder/vmlinuz"
echo "the guests' kernel: $package"
