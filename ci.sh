#!/usr/bin/env bash
# All that CI runs, in named steps. On a bare Debian machine as root it installs what the tests use.
#
#   ./ci.sh              all steps
#   ./ci.sh STEP...      these steps: install kernel format lint test loom fuzz mutants bench doc
#                        deny user package
set -euo pipefail
cd "$(dirname "$0")"

export CARGO_TERM_COLOR=never
frames=../shared/frames
if [ -z "${USWITCH_FRAMES:-}" ] && [ -d "$frames" ]; then
    USWITCH_FRAMES=$(realpath "$frames")
    export USWITCH_FRAMES
fi

# Programs that the tests use beside what Cargo builds, and their Debian packages.
packages=(binutils bird2 busybox-static dpdk-dev ethtool iperf3 iproute2 iputils-tracepath
    ndisc6 openvswitch-switch passt procps prometheus qemu-system-x86 radvdump socat strace
    systemd tcpdump tmux traceroute tshark util-linux valgrind vde2)

# Programs as `cargo test --workspace` has built them. Packages of the workspace ask for different
# features of the same crates: chosen alone they would be built anew, with most of what they need.
built() {
    cargo build --workspace --test unshare_user --quiet "$@"
}

install() {
    local missing=()
    for package in "${packages[@]}"; do
        dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        apt-get update -q >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
            "${missing[@]}" >/dev/null
    fi
    # The packages start their daemons; the tests start their own.
    service bird stop >/dev/null 2>&1 || true
    service openvswitch-switch stop >/dev/null 2>&1 || true
    service prometheus stop >/dev/null 2>&1 || true
    echo "installed: ${missing[*]:-nothing was missing}"
}

# What the guests of tests/vm boot: fetched once, into target/, and not installed.
kernel() {
    tests/vm/kernel.sh
}

format() {
    cargo fmt --all --check
}

lint() {
    cargo clippy --workspace --all-targets --quiet -- -D warnings
    # The library alone, and the program of a plain switch, without the router.
    cargo clippy -p uswitch --no-default-features --quiet -- -D warnings
    cargo clippy -p uswitch --no-default-features --features program --all-targets --quiet -- \
        -D warnings
}

test() {
    cargo test --workspace --quiet
}

# What has atomics under every interleaving that loom finds: the forwarding database, rings.
loom() {
    RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom \
        cargo test -p uswitch --no-default-features --features vhost --lib --release --quiet loom
}

fuzz() {
    tests/fuzz/run.sh 10
}

# Deliberate faults, each of which some test must notice: some of them here, others for every
# commit. `tests/mutants/run.sh` tries them all, which takes half an hour.
mutants() {
    tests/mutants/run.sh --quick 10
}

# Every benchmark once, so that it cannot rot. Their figures say nothing here, so they run
# as the tests were built; but those of `instructions` are counted, and must stand.
bench() {
    local names
    mapfile -t names < <(sed -n '/^\[\[bench/,/^$/s/^name = "\(.*\)"$/--bench=\1/p' \
        benches/Cargo.toml | grep -vx -e --bench=instructions)
    cargo bench --workspace --profile dev --quiet "${names[@]}" -- --test
    cargo bench -p uswitch-benches --bench instructions --quiet
    built --bin uswitch --bin uswitch-bench
    "${CARGO_TARGET_DIR:-target}/debug/uswitch-bench" throughput --device uswitch,bridge \
        --rounds 1 --trial 0.2 --resolution 0.1
}

doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
}

# Licences, duplicates and sources of the dependencies. Advisories need a network.
deny() {
    if ! command -v cargo-deny >/dev/null; then
        cargo install --locked --quiet cargo-deny
    fi
    # It looks at the dependencies of all platforms, of which a build has fetched those of one.
    cargo fetch --locked --quiet
    cargo deny --offline --log-level error check bans licenses sources
}

# The Debian package, which is built for release, and the static file.
package() {
    if ! command -v cargo-deb >/dev/null; then
        cargo install --locked --quiet cargo-deb
    fi
    switch/package/build.sh
    # Its target is another download: where that cannot be had, there is no such file.
    if rustup target add "$(uname -m)-unknown-linux-musl"; then
        switch/package/static.sh dev
    else
        echo "!! the static file was neither built nor tried: rustup has no target for it here"
    fi
}

# The demo as somebody who is not root: where it works, and where it must say what is missing.
user() {
    tests/user.sh
}

steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(install kernel format lint doc test user loom fuzz mutants bench package
    deny)
for step in "${steps[@]}"; do
    begin=$SECONDS
    echo "== $step"
    "$step"
    echo "== $step: $((SECONDS - begin)) s"
done
