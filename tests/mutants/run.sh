#!/usr/bin/env bash
# Breaks the switch on purpose, one rule at a time, in a copy of the tree, and runs the quick
# tests: each fault must be noticed. The faults are in list.txt.
#
#   tests/mutants/run.sh               all of them
#   tests/mutants/run.sh NAME...       these
#   tests/mutants/run.sh --quick N     N of them, others for every commit
#
# Exits with 1 if a mutant survives, does not compile, or if its text is not in the tree any more.
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$PWD
list=tests/mutants/list.txt
work=${CARGO_TARGET_DIR:-$root/target}/mutants
tree=$work/tree
log=$work/log
export CARGO_TARGET_DIR=$work/target CARGO_TERM_COLOR=never RUST_BACKTRACE=0
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
# Fewer than usual: what a mutant breaks it breaks soon.
export USWITCH_SEEDS=${USWITCH_SEEDS:-150}
# Seconds; a mutant that waits for ever has been noticed.
patience=60

names=() abouts=() files=() olds=() news=()
problems=0

# Reads the list.
load() {
    local line
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
            '#'* | '') ;;
            '== '*)
                line=${line#== }
                names+=("${line%%:*}") abouts+=("${line#*: }") olds+=('') news+=('')
                ;;
            '- '*) olds[-1]+=${olds[-1]:+$'\n'}${line#- } ;;
            '+ '*) news[-1]+=${news[-1]:+$'\n'}${line#+ } ;;
            *) files+=("$line") ;;
        esac
    done <"$list"
    [ ${#files[@]} -eq ${#names[@]} ] || { echo "$list: not one file for each" >&2; exit 2; }
}

# The numbers of the mutants that are to be tried.
choose() {
    local count=${#names[@]} i name
    if [ "${1:-}" = --quick ]; then
        local some=$2 first
        [ "$some" -lt "$count" ] || some=$count
        # By the commit: who runs it again gets the same ones.
        first=$((16#$(git rev-parse HEAD | cut -c -8) % count))
        for ((i = 0; i < some; i++)); do echo $(((first + i) % count)); done
        return
    fi
    for ((i = 0; i < count; i++)); do
        [ $# -gt 0 ] || echo "$i"
        for name; do [ "$name" != "${names[i]}" ] || echo "$i"; done
    done
}

# Makes the copy as the tree is now, uncommitted changes too. Files that are equal keep their
# times, so that cargo builds little.
copy() {
    local file
    rm -rf "$work/new"
    mkdir -p "$work/new" "$tree"
    git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
        [ ! -e "$file" ] || printf '%s\0' "$file"
    done | tar --null -T - -cf - | tar -xf - -C "$work/new"
    (cd "$tree" && find . -type f) | while IFS= read -r file; do
        [ -e "$work/new/$file" ] || rm "$tree/$file"
    done
    (cd "$work/new" && find . -type f) | while IFS= read -r file; do
        if ! cmp -s "$work/new/$file" "$tree/$file"; then
            mkdir -p "$tree/${file%/*}"
            # Not with its old time: cargo would not notice.
            cp "$work/new/$file" "$tree/$file"
        fi
    done
    rm -r "$work/new"
}

# Prints the first test that noticed something; nothing if none did. Fails if it does not compile.
# Most are noticed by the tests at the foot of their own file, $1: so those come first.
noticed() {
    local tests module=${1#*/src/} suites
    module=${module%.rs}
    module=${module//\//::}::
    case $1 in
        router/*) suites=("-p uswitch-router --lib $module"
            '-p uswitch-router --lib --test model --test neighbour') ;;
        switch/src/program/*) suites=('-p uswitch --bin uswitch') ;;
        *)
            suites=("-p uswitch --lib $module" '-p uswitch --lib'
                '-p uswitch-tests --test stories --test sim')
            ;;
    esac
    for tests in "${suites[@]}"; do
        # shellcheck disable=SC2086
        (cd "$tree" && cargo test --quiet $tests --no-run) >"$log" 2>&1 || return 1
        # shellcheck disable=SC2086
        if ! (cd "$tree" && timeout "$patience" cargo test --quiet $tests) >"$log" 2>&1; then
            grep -oE '^    [a-z0-9_:]+$' "$log" | sort -u | head -n 1 | tr -d ' ' | grep . ||
                echo 'it waits for ever'
            return 0
        fi
    done
}

# Puts mutant $1 into the copy. Fails if its text does not stand there exactly once.
mutate() {
    local text old=${olds[$1]} rest
    text=$(<"$root/${files[$1]}")
    [[ -n $old && $text == *"$old"* ]] || return 1
    rest=${text#*"$old"}
    [[ $rest != *"$old"* ]] || return 1
    printf '%s\n' "${text%%"$old"*}${news[$1]}$rest" >"$tree/${files[$1]}"
}

try() {
    local by='' begin=$SECONDS verdict=killed
    if ! mutate "$1"; then
        verdict='DOES NOT APPLY'
    elif ! by=$(noticed "${files[$1]}"); then
        verdict='DOES NOT COMPILE'
    elif [ -z "$by" ]; then
        verdict=SURVIVED
    fi
    [ "$verdict" = killed ] || problems=$((problems + 1))
    printf '%-16s %-20s %3d s  %s\n' "$verdict" "${names[$1]}" $((SECONDS - begin)) \
        "${by:-${abouts[$1]}}"
    cp "$root/${files[$1]}" "$tree/${files[$1]}"
}

load
mapfile -t chosen < <(choose "$@")
[ ${#chosen[@]} -gt 0 ] || { echo "no such mutant" >&2; exit 2; }
copy
for package in $(for number in "${chosen[@]}"; do echo "${files[number]%%/*}"; done | sort -u); do
    by=$(noticed "$package/src/lib.rs") || { cat "$log"; exit 1; }
    [ -z "$by" ] || { cat "$log"; echo "the tests fail without any mutant: $by" >&2; exit 1; }
done
for number in "${chosen[@]}"; do try "$number"; done
echo "${#chosen[@]} of ${#names[@]} mutants, $((${#chosen[@]} - problems)) killed, $SECONDS s"
[ "$problems" -eq 0 ]
