#!/usr/bin/env bash
# Breaks each promise on purpose (tests/mutations/*.patch, on a copy of the tree) and demands that its tests go red.
#   ONLY=05 make mutants    only the patches whose name begins like this

. "$(dirname "$0")/lib.sh"

work=$root/target/mutants
copy=$work/tree
# What a mutation makes hang is red, too.
hang_limit=180
failures=0
table=()

header() { sed -n "s/^$2: *//p;/^diff /q" "$1"; }

features_of() {
    local features
    features=$(header "$1" Features)
    printf '%s\n' "${features:-element}"
}

# The tracked files as they lie here. Only what differs is written: the rest stays built.
refresh_copy() {
    mkdir -p "$copy"
    local file
    while IFS= read -r -d '' file; do
        if [ ! -e "$root/$file" ] || cmp -s "$root/$file" "$copy/$file"; then continue; fi
        mkdir -p "$(dirname "$copy/$file")"
        cp "$root/$file" "$copy/$file"
    done < <(git -C "$root" ls-files -z)
    comm -23 <(cd "$copy" && find . -type f -printf '%P\n' | LC_ALL=C sort) <(git -C "$root" ls-files | LC_ALL=C sort) |
        while IFS= read -r file; do rm "$copy/$file"; done
}

# What set-up fetched is shared, not copied.
link_fetched() {
    ln -sfn "$deps" "$copy/.deps"
    local model
    for model in "$root"/models/*/; do
        model=$(basename "$model")
        [ -e "$copy/models/$model" ] || ln -s "$root/models/$model" "$copy/models/$model"
    done
}

# cargo_test FEATURES ARGUMENT...: on the copy; each feature set has a build folder of its own.
cargo_test() {
    local features=$1 targets=(--lib --test element --no-default-features --features element)
    shift
    [ "$features" = element ] || targets=(--lib --tests)
    (cd "$copy" && CARGO_TARGET_DIR=$work/build-$features G_DEBUG=fatal_warnings \
        cargo test --locked --quiet "${targets[@]}" "$@" </dev/null)
}

build() { cargo_test "$1" --no-run; }

# run_tests FEATURES WORD...: those with one of the words in their name.
run_tests() {
    local features=$1
    shift
    export -f cargo_test
    export root work copy
    timeout "$hang_limit" bash -c 'cargo_test "$@"' cargo_test "$features" -- --format pretty "$@"
}

# Prepares FEATURES on the unbroken copy: builds, and lists the names of all tests.
prepare() {
    say "Building the unbroken copy ($1) ..."
    build "$1" >"$work/build-$1.log" 2>&1 || fail "the unbroken copy does not build" "the compiler's words: $work/build-$1.log"
    cargo_test "$1" -- --list 2>/dev/null | sed -n 's/: test$//p' >"$work/tests-$1"
}

check_header() {
    local features word
    features=$(features_of "$1")
    [ -n "$(header "$1" Promise)" ] || fail "$1 lacks the line Promise: what must hold"
    [ -n "$(header "$1" Tests)" ] || fail "$1 lacks the line Tests: words of the names of the tests that must go red"
    case $features in element | torch) ;; *) fail "$1: Features is torch or left out, not $features" ;; esac
    [ -e "$work/tests-$features" ] || prepare "$features"
    for word in $(header "$1" Tests); do
        grep -qF -- "$word" "$work/tests-$features" || fail "$1: no test's name holds $word ($features)" \
            "the names: $work/tests-$features"
    done
}

# A test that is red already would prove nothing.
check_green() {
    local features words log
    for features in element torch; do
        [ -e "$work/tests-$features" ] || continue
        mapfile -t words < <(for patch in "${patches[@]}"; do
            [ "$(features_of "$patch")" = "$features" ] && header "$patch" Tests | tr ' ' '\n'
        done | sort -u)
        log=$work/unbroken-$features.log
        say "Running ${#words[@]} groups of tests on the unbroken copy ($features) ..."
        run_tests "$features" "${words[@]}" >"$log" 2>&1 || fail "tests are red without any mutation" "what they say: $log"
    done
}

outcome() { # PATCH OUTCOME
    local name
    name=$(basename "$1" .patch)
    say "$name: $2"
    table+=("$(printf '%s  %-40s %s\n%6s%s' "${name%%-*}" "${name#*-}" "$2" '' "$(header "$1" Promise)")")
}

wrong() {
    outcome "$@"
    failures=$((failures + 1))
}

first_red() { sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$1" | head -n 1; }

# shellcheck disable=SC2046 # a header's words are words
try() {
    local patch=$1 features log status=0
    features=$(features_of "$patch")
    log=$work/$(basename "$patch" .patch).log
    if ! (cd "$copy" && GIT_CEILING_DIRECTORIES=$work git apply "$patch") >"$log" 2>&1; then
        wrong "$patch" "DOES NOT APPLY: $(head -n 1 "$log")"
    elif ! build "$features" >"$log" 2>&1; then
        wrong "$patch" "DOES NOT COMPILE: $log"
    else
        run_tests "$features" $(header "$patch" Tests) >"$log" 2>&1 || status=$?
        case $status in
            0) wrong "$patch" "STAYED GREEN: $log" ;;
            124) outcome "$patch" "red: hangs" ;;
            *) outcome "$patch" "red: $(first_red "$log" | grep . || echo 'the test program dies')" ;;
        esac
    fi
    refresh_copy
}

shopt -s nullglob
patches=("$root/tests/mutations/${ONLY:-}"*.patch)
[ "${#patches[@]}" -gt 0 ] || fail "no patch in tests/mutations begins with ${ONLY:-anything}"
mkdir -p "$work"
rm -f "$work"/tests-*
refresh_copy
link_fetched
for patch in "${patches[@]}"; do check_header "$patch"; done
check_green
for patch in "${patches[@]}"; do try "$patch"; done
printf '\n'
printf '%s\n' "${table[@]}"
[ "$failures" = 0 ] || fail "$failures of ${#patches[@]} mutations prove nothing"
say "${#patches[@]} mutations, each seen by its tests"
