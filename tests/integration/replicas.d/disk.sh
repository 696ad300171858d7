# What disks do to replicas, and people to data directories.

# says N TEXT: server N's log has it
says() { grep -q -e "$2" "$dir/$1/log"; }
# exited N: the server has ended by itself, with an error
exited() { ! running "$1"; }

t_data_directory_is_locked() {
    cluster 1 2 3
    local out
    out=$("$PINTLE" server --id 1 --data-dir "$dir/1/data" --cert-dir "$dir/1/pki" --listen "$(address 9):6443" --peer-listen "$(address 9):7443" \
        --member "1=$(address 9):7443,$(address 9):6443" 2>&1) && return 1
    echo "$out"
    [[ $out == *"is in use by another process"* ]]
    put 1 still works
    running 1
}

# A directory that was lost has forgotten its promises: the others refuse it, and it stays refused.
t_lost_data_directory_is_refused() {
    cluster 1 2 3
    put 1 a 1
    end 2 KILL
    rm -r "$dir/2/data"
    server 2
    eventually 10 exited 2
    tail -n 3 "$dir/2/log"
    says 2 'older than what member [13] confirmed'
    server 2
    eventually 10 exited 2
    tail -n 1 "$dir/2/log"
    says 2 'refused this data directory.*join as a new member'
    put 1 a 2
    same "$(get 3 a)" 2
}

# An image of the disk taken earlier and put back.
t_data_directory_set_back_is_refused() {
    cluster 1 2 3
    local i
    i=$(leader)
    put 1 a 1
    end "$i"
    cp -r "$dir/$i/data" "$dir/copy"
    server "$i"
    eventually 20 ready "$i"
    put "$i" a 2
    end "$i" KILL
    rm -r "$dir/$i/data"
    cp -r "$dir/copy" "$dir/$i/data"
    # Those who remember were restarted, too: their memory is on disk.
    end $((i % 3 + 1)) KILL
    server $((i % 3 + 1))
    server "$i"
    eventually 10 exited "$i"
    tail -n 3 "$dir/$i/log"
    says "$i" 'older than what member . confirmed'
    eventually 10 put $((i % 3 + 1)) a 3
}

# The same directory, copied, started beside its original under the same id: one of both goes.
t_twin_of_a_data_directory_is_refused() {
    cluster 1 2 3
    put 1 a 1
    end 3
    cp -r "$dir/3/data" "$dir/copy"
    server 3
    eventually 20 ready 3
    mkdir -p "$dir/4"
    "$PINTLE" server --id 3 --data-dir "$dir/copy" --cert-dir "$dir/3/pki" --listen "$(address 4):6443" --peer-listen "$(address 4):7443" \
        --member "1=$(address 1):7443,$(address 1):6443" --member "2=$(address 2):7443,$(address 2):6443" \
        --member "3=$(address 3):7443,$(address 3):6443" >"$dir/4/log" 2>&1 &
    echo $! >"$dir/4/pid"
    eventually 10 exited 4
    tail -n 3 "$dir/4/log"
    says 4 'in use twice'
    running 3
    put 3 a 2
}

# ---- disks that fail ----

# fault_lib: builds what makes a disk fail, once a run
fault_lib() {
    [ -e "$dir/disk_fault.so" ] || ${CC:-cc} -shared -fPIC -O1 -o "$dir/disk_fault.so" "$root/tests/fault/disk_fault.c" -ldl
}
# faulty_server N: as server, but its disk does what is written to $dir/N/fault
faulty_server() {
    fault_lib
    mkdir -p "$dir/$1"
    touch "$dir/$1/fault"
    pki "$1"
    ASAN_OPTIONS=verify_asan_link_order=0 PINTLE_FAULT_FILE=$dir/$1/fault LD_PRELOAD=$dir/disk_fault.so server "$@"
}
# fault N RULE
fault() { echo "$2" >"$dir/$1/fault.new" && mv "$dir/$1/fault.new" "$dir/$1/fault"; }
# faulty_cluster: three servers with such disks
faulty_cluster() {
    local i
    for i in 1 2 3; do faulty_server "$i"; done
    eventually 30 ready 1 2 3
    eventually 30 ask 1 GET /api/v1/namespaces/default
}

# Any error of the log's disk ends the replica, the others go on, and it comes back with all that it confirmed.
t_disk_errors_stop_only_that_replica() {
    faulty_cluster
    local i k rule n=0 other
    for rule in 'pwrite wal- 1 EIO' 'sync wal- 1 EIO' 'pwrite wal- 2 ENOSPC' 'sync wal- 3 EIO' 'pwrite wal- 2 torn' 'pwrite mark 1 EIO'; do
        n=$((n + 1))
        i=$(leader)
        [ $((n % 2)) = 0 ] && i=$((i % 3 + 1)) # leaders and followers in turn
        other=$((i % 3 + 1))
        put "$other" a "before-$n"
        fault "$i" "$rule"
        for k in 1 2 3 4; do put "$other" b "$n-$k" || true; done # one of these hits the fault
        eventually 10 exited "$i"
        [[ $rule == *torn ]] || says "$i" 'this replica cannot go on'
        [[ $rule == *torn ]] || tail -n 20 "$dir/$i/log" | grep -q 'reason="cannot write the log"'
        eventually 10 put "$other" a "after-$n"
        fault "$i" ''
        mv "$dir/$i/log" "$dir/$i/log.$n"
        faulty_server "$i"
        eventually 20 ready "$i"
        eventually 20 same_everywhere a "after-$n"
    done
}
same_everywhere() { local i; for i in 1 2 3; do same "$(get "$i" "$1")" "$2" || return 1; done; }

# A disk that answers slowly, and one that does not answer: leadership goes to a replica with a better one.
t_slow_disk_hands_leadership_over() {
    faulty_cluster
    local slow i
    sleep 11 # a new leader gives its disk some time
    slow=$(leader)
    fault "$slow" 'sync wal- 0 delay 120'
    for i in $(seq 200); do put "$((slow % 3 + 1))" a "$i" & sleep 0.1; [ "$(leader)" = "$slow" ] || break; done
    wait_for_puts
    says "$slow" 'handing leadership over reason="the disk is slow"'
    lacks "$(leader)" "$slow"
    [ "$(metric "$slow" pintle_raft_disk_handovers_total)" = 1 ]
    [ "$(metric "$slow" etcd_disk_wal_fsync_duration_seconds_count)" -gt 10 ]
    fault "$slow" ''
    sleep 11
    slow=$(leader)
    fault "$slow" 'sync wal- 0 delay 5000'
    for i in $(seq 30); do put "$((slow % 3 + 1))" a "$i" & sleep 0.2; [ "$(leader)" = "$slow" ] || break; done
    lacks "$(leader)" "$slow"
    wait_for_puts
    says "$slow" 'the disk stalls: a write of the log takes longer than ms=500'
    [ "$(metric "$slow" pintle_raft_disk_stalls_total)" -ge 1 ]
    eventually 5 put "$((slow % 3 + 1))" a last
    fault "$slow" ''
    eventually 20 same_everywhere a last
}
wait_for_puts() { local p; for p in $(jobs -p); do grep -q pintle "/proc/$p/comm" 2>/dev/null || wait "$p" || true; done; }

# One flipped bit in every kind of file of a data directory, at its beginning, near it, in its middle and at its end: the
# replica serves what the others do, or says which file is bad and what to do. It never serves anything else.
t_flipped_bits_are_noticed() {
    local options=(--snapshot-every 40) i
    for i in 1 2 3; do server "$i" "${options[@]}"; done
    eventually 30 ready 1 2 3
    eventually 30 ask 1 GET /api/v1/namespaces/default
    local f name at out offsets served=0 refused=0
    for i in $(seq 60); do put 1 "k$((i % 7))" "value-$i"; done
    eventually 20 snapshot_exists 3
    for i in $(seq 9); do put 1 "k$((i % 7))" "last-$i"; done
    sleep 0.5
    end 3
    for f in "$dir"/3/data/*; do
        [ -s "$f" ] || continue
        name=$(basename "$f")
        offsets=(3 20 40 $((4096 + 20)) 600 $(($(used "$f") / 2)) $(($(used "$f") - 3)))
        [[ $name == new-* || $name == old-* ]] && offsets=(20)
        for at in "${offsets[@]}"; do
            [ -e "$f" ] && [ "$at" -ge 0 ] && [ "$at" -lt "$(stat -c %s "$f")" ] || continue
            flip_lowest "$f" "$at"
            : >"$dir/3/log"
            server 3 "${options[@]}"
            if eventually 20 served_or_exited 3 && running 3; then
                for i in 0 1 2 3 4 5 6; do same "$(get 3 "k$i")" "$(get 1 "k$i")"; done
                served=$((served + 1))
                end 3
            else
                out=$(cat "$dir/3/log")
                if [ "$name" = server.json ]; then # who it is, which can be told anew; or somebody else, by another id
                    grep -qE 'server.json: damaged; remove it|belongs to member' <<<"$out"
                else
                    has "$out" "$name"
                    has "$out" "wipe the directory and join under a new member id"
                fi
                refused=$((refused + 1))
                flip_lowest "$f" "$at"
            fi
        done
    done
    echo "served: $served, refused: $refused"
    [ "$refused" -ge 8 ] && [ "$served" -ge 8 ]
    # Both copies of term and vote.
    flip_lowest "$dir/3/data/meta" 40
    flip_lowest "$dir/3/data/meta" $((4096 + 40))
    server 3
    eventually 10 exited 3
    has "$(tail -n 1 "$dir/3/log")" "data/meta is damaged: wipe the directory and join under a new member id"
}
snapshot_exists() { compgen -G "$dir/$1/data/snapshot-*" >/dev/null; }
served_or_exited() { exited "$1" || ready "$1"; }
# flip_lowest FILE OFFSET: the lowest bit of that byte
flip_lowest() {
    local b
    b=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %x $((b ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
# used FILE: bytes up to the last that is not zero
used() { od -An -v -tx1 -w1 "$1" | awk '$1 != "00" { n = NR } END { print n + 0 }'; }

# ---- disks that are full ----

# small_disk N MEGABYTES: server N's data directory is a file system of that size
small_disk() {
    mkdir -p "$dir/$1/data"
    mount -t tmpfs -o "size=${2}m" tmpfs "$dir/$1/data"
    echo "$dir/$1/data" >>"$dir/mounts"
}
unmount_disks() {
    servers_end
    local m
    while read -r m; do umount -l "$m"; done <"$dir/mounts"
}
# A body of a ConfigMap with so many bytes that do not compress.
config_map() { printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"},"data":{"v":"%s"}}' "$1" "$(head -c "$2" /dev/urandom | base64 -w 0)"; }
create() { config_map "$2" "$3" | ask "$1" POST /api/v1/namespaces/default/configmaps -H 'Content-Type: application/json' -d @-; }
delete() { ask "$1" DELETE "/api/v1/namespaces/default/configmaps/$2"; }

t_full_disk_refuses_writes_until_there_is_space() {
    [ "$(id -u)" = 0 ] || { echo "needs root for a small file system"; return 0; }
    local i out='' size
    trap unmount_disks EXIT
    small_disk 1 100
    cluster 1
    put 1 a 1
    dd if=/dev/zero of="$dir/1/data/other" bs=1M status=none 2>/dev/null || true # somebody else fills it
    for i in $(seq 80); do out=$(create 1 "big-$i" 600000) || break; done
    echo "refused the write number $i: ${out:0:400}"
    has "$out" '"code":507'
    has "$out" '"reason":"InsufficientStorage"'
    has "$out" 'the disk is full; free some space, deletes still work'
    [ "$(metric 1 pintle_raft_disk_full)" = 1 ]
    says 1 'cannot make a log segment error="No space left on device" remedy="free disk space"'
    same "$(get 1 a)" 1 # reads go on
    delete 1 big-1 >/dev/null
    delete 1 big-2 >/dev/null
    lacks "$(ask 1 GET /api/v1/namespaces/default/configmaps/big-1 2>&1 || true)" '"v"'
    create 1 more 1000 >/dev/null 2>&1 && return 1
    size=$(stat -c %s "$dir/1/data/other")
    truncate -s $((size / 3)) "$dir/1/data/other"
    eventually 10 put 1 a 2 # without a restart
    says 1 'disk space is back'
    end 1 KILL
    server 1
    eventually 20 ready 1
    same "$(get 1 a)" 2
}

# No space for a snapshot: the replica goes on without, and takes one when there is space.
t_full_disk_during_a_snapshot() {
    [ "$(id -u)" = 0 ] || { echo "needs root for a small file system"; return 0; }
    local i
    trap unmount_disks EXIT
    small_disk 1 150
    cluster 1
    for i in $(seq 85); do create 1 "big-$i" 600000 >/dev/null || break; done
    eventually 30 says 1 'cannot write a snapshot error="No space left on device"'
    running 1
    [ ! -e "$dir/1/data/snapshot.tmp" ]
    ask 1 GET /api/v1/namespaces/default/configmaps/big-3 >/dev/null
    mount -o remount,size=400m "$dir/1/data"
    eventually 30 snapshot_exists 1
    eventually 10 put 1 a 1
    end 1 KILL
    server 1
    eventually 20 ready 1
    same "$(get 1 a)" 1
    ask 1 GET /api/v1/namespaces/default/configmaps/big-3 >/dev/null
}

# One full disk of three: a leader hands over, a follower waits, and nobody else notices.
t_full_disk_of_one_of_three() {
    [ "$(id -u)" = 0 ] || { echo "needs root for a small file system"; return 0; }
    local i
    trap unmount_disks EXIT
    for i in 1 2 3; do small_disk "$i" 400; done
    cluster 1 2 3
    sleep 11
    local full other
    full=$(leader)
    other=$((full % 3 + 1))
    dd if=/dev/zero of="$dir/$full/data/other" bs=1M status=none 2>/dev/null || true
    for i in $(seq 120); do create "$other" "big-$i" 600000 >/dev/null || sleep 0.3; done
    says "$full" 'handing leadership over reason="the disk is full"'
    lacks "$(leader)" "$full"
    running "$full"
    put "$other" a 1
    rm "$dir/$full/data/other"
    eventually 40 same "$(get "$full" a)" 1
}
