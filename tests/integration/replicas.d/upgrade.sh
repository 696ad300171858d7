# Two formats in one cluster: up, down again while that is possible, and up for good, with writes all the time.

# restart_with N [OPTIONS...]
restart_with() {
    end "$1"
    server "$@"
    eventually 20 ready "$1"
}

# writes: until $dir/enough is there; what was acknowledged goes to $dir/acked. A server that is down just now is passed over.
writes() {
    local i=0
    while [ ! -e "$dir/enough" ]; do
        i=$((i + 1))
        put $((i % 3 + 1)) "k$((i % 10))" "$i" 2>/dev/null && echo "k$((i % 10)) $i" >>"$dir/acked"
        sleep 0.02
    done
}

t_formats_up_and_down_under_load() {
    local i load key value n
    pki 1 2 3
    for i in 1 2 3; do server "$i" --format 1 --snapshot-every 100; done
    eventually 30 ready 1 2 3
    eventually 30 ask 1 GET /api/v1/namespaces/default
    writes &
    load=$!
    sleep 1
    restart_with 1 --snapshot-every 100
    restart_with 2 --snapshot-every 100
    sleep 2
    for i in 1 2 3; do same "$(metric "$i" pintle_store_format)" 1; done
    # Not all have it yet: back again, and another one first.
    restart_with 2 --format 1 --snapshot-every 100
    restart_with 1 --format 1 --snapshot-every 100
    restart_with 3 --snapshot-every 100
    restart_with 1 --snapshot-every 100
    sleep 2
    for i in 1 2 3; do same "$(metric "$i" pintle_store_format)" 1; done
    restart_with 2 --snapshot-every 100
    in_force() { [ "$(metric "$1" pintle_store_format)" = 2 ]; }
    for i in 1 2 3; do eventually 20 in_force "$i"; done
    # From here on there is no way back, and it says so.
    end 3
    server 3 --format 1 --snapshot-every 100
    stopped() { ! running 3; }
    eventually 20 stopped
    has "$(cat "$dir/3/log")" "newer format"
    server 3 --snapshot-every 100
    eventually 20 ready 3
    touch "$dir/enough"
    wait "$load"
    n=$(wc -l <"$dir/acked")
    [ "$n" -gt 100 ] || { echo "only $n writes were acknowledged"; return 1; }
    # The newest acknowledged value of each key is there, or one written after it whose answer was lost.
    tac "$dir/acked" | sort -u -k1,1 --stable >"$dir/newest"
    while read -r key value; do
        for i in 1 2 3; do [ "$(get "$i" "$key")" -ge "$value" ] || { echo "server $i lost $key=$value"; return 1; }; done
    done <"$dir/newest"
}
