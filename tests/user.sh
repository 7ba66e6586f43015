#!/usr/bin/env bash
# The demo as somebody who is not root: where it works, and where it must say what is missing.
# Runs as root and becomes `nobody`. Nothing of the machine is changed: each case has /dev/net to
# itself, in a mount namespace of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then
    echo "SKIPPED: tests/user.sh needs root, to become nobody" >&2
    [ "${CI:-}" != true ]
    exit
fi

# As the other tests have built it: tests/lib.rs says why so.
cargo build --quiet --workspace --test unshare_user --bin uswitch
# `nobody` may not be able to reach the folder in which we build.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
install -m 755 "${CARGO_TARGET_DIR:-target}/debug/uswitch" "$folder/uswitch"
chmod 755 "$folder"
cd "$folder"

# as_nobody NODE WORD...: runs words as nobody; NODE is the mode of /dev/net/tun, or `none`.
as_nobody() {
    unshare --mount sh -c '
        mount -t tmpfs -o mode=755 none /dev/net
        [ "$1" = none ] || mknod -m "$1" /dev/net/tun c 10 200
        shift
        exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs "$@"
    ' as_nobody "$@"
}

fail() {
    echo "FAILED: $1" >&2
    sed 's/^/    /' out err >&2
    exit 1
}

# expect CODE FILE WORDS CASE: the last run ended with the code and said the words.
expect() {
    [ "$code" = "$1" ] || fail "$4: exit code $code in place of $1"
    grep -qF -- "$3" "$2" || fail "$4: it does not say \`$3\`"
}

# run WORD...: keeps code and output.
run() {
    code=0
    "$@" >out 2>err || code=$?
}

if as_nobody 666 unshare --user --map-root-user --net true 2>/dev/null; then
    run as_nobody 666 ./uswitch demo --seconds 0.2
    expect 0 out "12 of 12 pings came back" "without root"
    expect 0 out "without root, in a user namespace of its own" "without root"
    expect 0 out "Gbit/s" "without root"
    echo "ok: nobody gets the whole demo in a user namespace"

    # The limit is set in a namespace of its own, in which the program has lost all rights.
    run as_nobody 666 unshare --user --map-root-user sh -c '
        echo 0 >/proc/sys/user/max_user_namespaces
        exec setpriv --bounding-set=-all --inh-caps=-all ./uswitch demo'
    expect 1 err "permission to make network namespaces is missing" "no user namespaces"
    expect 1 err "sysctl user.max_user_namespaces is 0" "no user namespaces"
    expect 1 err " sudo sysctl -w user.max_user_namespaces=15000" "no user namespaces"
    expect 1 err " sudo ./uswitch demo" "no user namespaces"
    echo "ok: where users may make no namespaces, it says which sysctl and how to set it"
else
    echo "SKIPPED: this kernel lets nobody make a user namespace; only its refusal is tested" >&2
    [ "${CI:-}" != true ] || fail "CI runs all tests"
    run as_nobody 666 ./uswitch demo
    expect 1 err "permission to make network namespaces is missing" "no user namespaces"
    expect 1 err " sudo ./uswitch demo" "no user namespaces"
    echo "ok: where users may make no namespaces, it says what helps"
fi

run as_nobody 600 ./uswitch demo
expect 1 err "permission to read and write /dev/net/tun is missing" "/dev/net/tun 0600"
expect 1 err "its mode is 0600, its owner root" "/dev/net/tun 0600"
expect 1 err " sudo chmod 666 /dev/net/tun" "/dev/net/tun 0600"
expect 1 err " sudo ./uswitch demo" "/dev/net/tun 0600"
echo "ok: where /dev/net/tun is root's alone, it says so and how to open it"

run as_nobody none ./uswitch demo
expect 1 err "there is no /dev/net/tun" "no /dev/net/tun"
expect 1 err "mknod -m 666 /dev/net/tun c 10 200" "no /dev/net/tun"
echo "ok: where there is no /dev/net/tun, it says how to make it"

echo "The demo without root: all cases behave"
