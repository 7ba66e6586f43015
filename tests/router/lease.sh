#!/bin/sh
# What udhcpc runs when something becomes of its lease: the host takes what it was given.
[ "$1" = bound ] || exit 0
# shellcheck disable=SC2154 # udhcpc sets them
ip address add "$ip/$mask" dev "$interface" && ip route add default via "$router" &&
    echo "$ip/$mask by $router from $serverid"
