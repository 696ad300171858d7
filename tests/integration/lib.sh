# What the runners share: assertions, and running tests one by one. Sourced; wants $result and $log set.

eventually() { # eventually SECONDS COMMAND...: until it succeeds
    local until=$(($(date +%s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$until" ] || { echo "never succeeded: $*"; "$@"; return 1; }
        sleep 0.2
    done
}
same() { [ "$1" = "$2" ] || { echo "expected: $2"; echo "but got:  $1"; return 1; }; }
has() { grep -qF -- "$2" <<<"$1" || { echo "\"$2\" is missing in:"; echo "$1"; return 1; }; }
lacks() { ! grep -qF -- "$2" <<<"$1" || { echo "\"$2\" should not be in:"; echo "$1"; return 1; }; }

# A harness that cannot see a failure would be worse than none.
broken() { same 1 2; echo unreachable; }
(set -e; broken) >/dev/null 2>&1 &
if wait $!; then
    echo "FAIL: this harness does not notice failing tests"
    echo "0 1" >"$result"
    exit 1
fi

passed=0 failed=0
run_one() {
    local from rv
    from=$(date +%s%N)
    # In the background, because `set -e` means nothing inside a condition.
    (set -e; $1) >"$log" 2>&1 &
    wait $!
    rv=$?
    if [ $rv = 0 ]; then
        passed=$((passed + 1))
        printf 'PASS: %-44s %6.1f s\n' "$2" "$(awk "BEGIN { print ($(date +%s%N) - $from) / 1e9 }")"
    else
        failed=$((failed + 1))
        printf 'FAIL: %s\n' "$2"
        tail -n 25 "$log" | sed 's/^/    /'
    fi
}
