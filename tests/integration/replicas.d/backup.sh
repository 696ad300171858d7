# Backups of the whole state, and going on from them.

# `!` does not end a test when what it inverts succeeds.
fails() { if "$@"; then echo "should have failed: $*"; return 1; fi; }

# restored FILE N...: directories of a new cluster from a file; --member as server() has it
restored() {
    local file=$1 i j args
    shift
    for i in "$@"; do
        args=()
        for j in "$@"; do args+=(--member "$j=$(address "$j"):7443,$(address "$j"):6443"); done
        "$PINTLE" snapshot restore "$file" --data-dir "$dir/$i/data" --id "$i" "${args[@]}"
    done
}
# status_of N PATH: the answer's code alone
status_of() {
    curl -s -o /dev/null -m 20 -w '%{http_code}' --cacert "$dir/pki/ca.crt" --cert "$dir/pki/admin.crt" --key "$dir/pki/admin.key" \
        "https://$(address "$1"):6443$2"
}
writer() { # writer N: writes until $dir/enough exists; notes what was acknowledged
    local i=0
    until [ -e "$dir/enough" ]; do
        i=$((i + 1))
        put "$1" load "$i" 2>/dev/null && echo "$i" >>"$dir/acked"
    done
}
flip() { # flip FILE BYTE BIT
    python3 - "$@" <<'PY'
import sys
with open(sys.argv[1], 'r+b') as f:
    f.seek(int(sys.argv[2])); b = f.read(1)[0]
    f.seek(int(sys.argv[2])); f.write(bytes([b ^ 1 << int(sys.argv[3])]))
PY
}

t_snapshot_under_load_becomes_a_new_cluster() {
    cluster 1 2 3
    local i before objects revision
    for i in $(seq 20); do put 1 "item-$i" "$i"; done
    writer 1 &
    local writing=$!
    for i in 1 2 3; do admin snapshot save "$dir/save-$i" --server "$(address "$i"):6443"; done
    # Acknowledged before the save began, so in it.
    before=$(tail -n 1 "$dir/acked")
    admin snapshot save "$dir/last" --server "$(address 2):6443" --output json >"$dir/last.json"
    touch "$dir/enough"
    wait $writing
    [ ! -e "$dir/last.partial" ]
    for i in save-1 save-2 save-3 last; do "$PINTLE" snapshot verify "$dir/$i" >"$dir/out"; done
    has "$(cat "$dir/out")" "whole and undamaged"
    has "$(cat "$dir/out")" "configmaps"
    revision=$(jq .revision "$dir/last.json")
    same "$(admin snapshot verify "$dir/last" --server "$(address 3):6443" --output json | jq -r .server)" same
    same "$("$PINTLE" snapshot verify "$dir/last" --output json | jq .revision)" "$revision"
    objects=$(ask 1 GET "/api/v1/configmaps?resourceVersion=$revision&resourceVersionMatch=Exact" | jq -c '[.items[].metadata|del(.resourceVersion)]')

    # A new cluster, while the third replica of the old one still lives on: they must not mix.
    end 1; end 2
    mv "$dir/1/data" "$dir/1/old"; mv "$dir/2/data" "$dir/2/old"
    restored "$dir/last" 1 2
    members="1 2" server 1
    members="1 2" server 2
    eventually 30 ready 1 2
    sleep 1
    same "$(ask 1 GET /api/v1/configmaps | jq -c '[.items[].metadata|del(.resourceVersion)]')" "$objects"
    for i in 1 7 20; do same "$(get 2 "item-$i")" "$i"; done
    [ "$(get 1 load)" -ge "$before" ]
    [ "$(metric 1 pintle_store_revision)" -ge $((revision + 1000000)) ]
    # Whoever saw the old cluster lists anew, also what was never in the file.
    same "$(status_of 1 "/api/v1/configmaps?watch=true&timeoutSeconds=1&resourceVersion=$revision")" 200
    has "$(ask 1 GET "/api/v1/configmaps?watch=true&timeoutSeconds=1&resourceVersion=$revision")" '"code":410'
    has "$(ask 1 GET "/api/v1/configmaps?watch=true&timeoutSeconds=1&resourceVersion=$((revision + 5000))")" '"code":410'
    put 2 after restored
    same "$(get 1 after)" restored
    same "$(metric 3 pintle_raft_is_leader)" 0
    lacks "$(tac "$dir/1/log" | sed "/serving listen/q")" "link up peer=3"
}

t_damaged_backups_are_refused() {
    cluster 1
    local size at bit i
    for i in $(seq 30); do put 1 "item-$i" "$(head -c 400 /dev/urandom | base64 -w0)"; done
    admin snapshot save "$dir/file" --server "$(address 1):6443"
    mkdir "$dir/small"
    mount -t tmpfs -o size=8k none "$dir/small"
    fails admin snapshot save "$dir/small/file" --server "$(address 1):6443" 2>"$dir/err"
    same "$(ls "$dir/small")" ""
    umount "$dir/small"
    has "$(cat "$dir/err")" "No space left"
    # A name that cannot be written to, a directory that is in use, members that do not fit.
    fails admin snapshot save "$dir/none/file" --server "$(address 1):6443" 2>"$dir/err"
    has "$(cat "$dir/err")" "No such file"
    fails "$PINTLE" snapshot restore "$dir/file" --data-dir "$dir/1/data" --id 1 --member 1=127.0.0.1:1 2>"$dir/err"
    has "$(cat "$dir/err")" "is not empty"
    fails "$PINTLE" snapshot restore "$dir/file" --data-dir "$dir/new" --id 2 --member 1=127.0.0.1:1 2>"$dir/err"
    has "$(cat "$dir/err")" "must be one of"
    size=$(stat -c %s "$dir/file")
    for i in $(seq 15); do
        at=$((RANDOM * 32768 % size + RANDOM % 100)); [ "$at" -lt "$size" ] || at=$((size - 1))
        [ "$i" -gt 3 ] || at=$((i == 1 ? 0 : i == 2 ? 90 : size - 1))
        bit=$((RANDOM % 8))
        cp "$dir/file" "$dir/bad"
        flip "$dir/bad" "$at" "$bit"
        fails "$PINTLE" snapshot verify "$dir/bad" >"$dir/out" 2>&1 
        grep -qE "is damaged before byte|is no backup|cut off|newer version" "$dir/out"
        fails "$PINTLE" snapshot restore "$dir/bad" --data-dir "$dir/new" --id 1 --member 1=127.0.0.1:1 >"$dir/out" 2>&1
        [ ! -e "$dir/new/meta" ]
    done
    for at in 10 96 97 $((size / 2)) $((size - 1)); do
        head -c "$at" "$dir/file" >"$dir/bad"
        fails "$PINTLE" snapshot verify "$dir/bad" >"$dir/out" 2>&1
        has "$(cat "$dir/out")" "cut off"
    done
    { cat "$dir/file"; echo; } >"$dir/bad"
    fails "$PINTLE" snapshot verify "$dir/bad" >"$dir/out" 2>&1
}

t_recover_goes_on_from_one_of_three_directories() {
    cluster 1 2 3
    local i lead
    for i in $(seq 25); do put 1 "item-$i" "$i"; done
    eventually 10 same_revisions 1 2 3
    # In use: refused, and left alone.
    fails "$PINTLE" recover --data-dir "$dir/3/data" >"$dir/out" 2>&1
    has "$(cat "$dir/out")" "is in use"
    for i in 1 2 3; do end "$i" KILL; done
    rm -rf "$dir/1/data"
    # The second one is older: it was down during the newest writes.
    "$PINTLE" recover --data-dir "$dir/3/data" --from "$dir/2/data" --from "$dir/1/data" --examine >"$dir/out"
    has "$(cat "$dir/out")" "no replica's data is there" || has "$(cat "$dir/out")" "No such file"
    [ ! -e "$dir/3/data/before-recover-"* ]
    "$PINTLE" recover --data-dir "$dir/3/data" >"$dir/out"
    has "$(cat "$dir/out")" "member 3 of new cluster"
    ls "$dir/3/data"/before-recover-*/meta
    members=3 server 3
    eventually 20 ready 3
    for i in 1 13 25; do same "$(get 3 "item-$i")" "$i"; done
    put 3 after recovery
    has "$(ask 3 GET "/api/v1/configmaps?watch=true&timeoutSeconds=1&resourceVersion=20")" '"code":410'
    # An old member, although its disk is whole, is not let in.
    members="2 3" server 2
    sleep 2
    same "$(metric 2 pintle_raft_is_leader)" 0
    same "$(metric 3 pintle_raft_is_leader)" 1
    end 2
    # And once more: the directory is an ordinary one.
    end 3
    members=3 server 3
    eventually 20 ready 3
    same "$(get 3 after)" recovery
}
same_revisions() {
    local i first
    first=$(metric "$1" pintle_store_revision)
    for i in "$@"; do [ "$(metric "$i" pintle_store_revision)" = "$first" ] || return 1; done
}
t_recover_takes_the_best_log() {
    cluster 1 2 3
    local i lead old
    put 1 early 1
    lead=$(leader)
    old=$((lead % 3 + 1))
    eventually 10 same_revisions 1 2 3
    end "$old" KILL
    for i in $(seq 10); do put "$lead" "late-$i" "$i"; done
    for i in 1 2 3; do end "$i" KILL; done
    "$PINTLE" recover --data-dir "$dir/$old/data" --from "$dir/$lead/data" >"$dir/out"
    grep -E "^\* .*/$lead/data" "$dir/out"
    members=$old server "$old"
    eventually 20 ready "$old"
    for i in 1 10; do same "$(get "$old" "late-$i")" "$i"; done
}

# headers_of N PATH [CURL OPTIONS]
headers_of() {
    local i=$1 path=$2
    shift 2
    curl -s -o /dev/null -D - -m 20 --cacert "$dir/pki/ca.crt" --cert "$dir/pki/admin.crt" --key "$dir/pki/admin.key" "$@" \
        "https://$(address "$i"):6443$path" | tr -d '\r'
}
t_reads_go_on_without_a_quorum_and_say_so() {
    cluster 1 2 3
    local path=/api/v1/namespaces/default/configmaps from
    put 1 a 1
    eventually 10 same_revisions 1 2 3
    lacks "$(headers_of 3 $path/a | tr A-Z a-z)" "warning:"
    curl -sN -m 60 --cacert "$dir/pki/ca.crt" --cert "$dir/pki/admin.crt" --key "$dir/pki/admin.key" \
        "https://$(address 3):6443$path?watch=true&resourceVersion=0" >"$dir/watch" &
    local watching=$!
    eventually 10 grep -q '"name":"a"' "$dir/watch"
    end 1 KILL; end 2 KILL
    eventually 10 get 3 a
    has "$(headers_of 3 $path/a | tr A-Z a-z)" 'warning: 299 - "no quorum: this state may be stale (last confirmed at 20'
    has "$(headers_of 3 $path | tr A-Z a-z)" 'warning: 299 - "no quorum'
    has "$(headers_of 3 "$path?resourceVersion=0" | tr A-Z a-z)" 'warning: 299 - "no quorum'
    same "$(get 3 a)" 1
    # Who insists, and who writes, is told quickly.
    has "$(headers_of 3 $path/a -H 'Pintle-Consistency: linearizable')" " 503"
    from=$(date +%s%N)
    has "$(headers_of 3 $path -H 'Content-Type: application/json' -d '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"b"}}')" " 503"
    [ $(($(date +%s%N) - from)) -lt 1000000000 ]
    has "$(ask 3 DELETE $path/a || true)" "no quorum: a majority of the replicas cannot be reached (last reached at 20"
    # What it has can be saved; not by chance, though.
    fails admin snapshot save "$dir/file" --server "$(address 3):6443" 2>"$dir/err"
    has "$(cat "$dir/err")" "no quorum"
    admin snapshot save "$dir/file" --server "$(address 3):6443" --local
    "$PINTLE" snapshot verify "$dir/file" >/dev/null
    # With the others back, nothing is marked, and the watch has gone on.
    server 1
    eventually 20 ready 1 3
    lacks "$(headers_of 3 $path/a | tr A-Z a-z)" "warning:"
    put 1 a 2
    eventually 10 grep -q '"v":"2"' "$dir/watch"
    kill $watching
}

shipped() { [ "$(metric "$1" pintle_backup_revision)" = "$(metric "$1" pintle_store_revision)" ]; }
t_continuous_backup_restores_any_moment() {
    mkdir "$dir/backup"
    local members="1 2 3" i revision between
    pki 1 2 3
    for i in 1 2 3; do server "$i" --backup-dir "$dir/backup" --backup-lag 1; done
    eventually 30 ready 1 2 3
    eventually 30 ask 1 GET /api/v1/namespaces/default
    for i in $(seq 10); do put 1 a "$i"; done
    revision=$(ask 1 GET /api/v1/namespaces/default/configmaps/a | jq -r .metadata.resourceVersion)
    sleep 1.2
    between=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    sleep 1.2
    for i in $(seq 11 20); do put 1 a "$i"; done
    eventually 10 shipped 1
    # A replica that starts again goes on where it stopped: no new base, no gap.
    end 2
    put 1 a 21
    server 2 --backup-dir "$dir/backup" --backup-lag 1
    eventually 20 ready 2
    put 1 a 22
    eventually 10 shipped 1; eventually 10 shipped 2; eventually 10 shipped 3
    same "$(ls "$dir/backup/2" | grep -c ^base)" 1
    [ "$(ls "$dir/backup/2" | grep -c ^segment)" -ge 2 ]
    "$PINTLE" snapshot list --backup-dir "$dir/backup" >"$dir/out"
    cat "$dir/out"
    same "$(wc -l <"$dir/out")" 4
    "$PINTLE" snapshot verify --backup-dir "$dir/backup" >"$dir/out"
    same "$(grep -c 'replayed, every hash fits' "$dir/out")" 3
    for i in 1 2 3; do end "$i" KILL; done

    mkdir "$dir/4" "$dir/5" "$dir/6"
    # To a revision, to a time between two writes, and to the newest.
    "$PINTLE" snapshot restore --backup-dir "$dir/backup" --to-revision "$revision" --data-dir "$dir/4/data" --id 4 --member "4=$(address 4):7443"
    "$PINTLE" snapshot restore --backup-dir "$dir/backup/2" --to-time "$between" --data-dir "$dir/5/data" --id 5 --member "5=$(address 5):7443"
    "$PINTLE" snapshot restore --backup-dir "$dir/backup" --data-dir "$dir/6/data" --id 6 --member "6=$(address 6):7443"
    for i in 4 5 6; do members=$i server "$i"; done
    eventually 20 ready 4 5 6
    same "$(get 4 a)" 10
    same "$(get 5 a)" 10
    same "$(get 6 a)" 22
    fails "$PINTLE" snapshot restore --backup-dir "$dir/backup" --to-revision 999999 --data-dir "$dir/7" --id 7 --member 7=127.0.0.1:1 2>"$dir/err"
    has "$(cat "$dir/err")" "the backup ends at revision"
    fails "$PINTLE" snapshot restore --backup-dir "$dir/backup" --to-time 2020-01-01T00:00:00Z --data-dir "$dir/7" --id 7 --member 7=127.0.0.1:1 2>"$dir/err"
    has "$(cat "$dir/err")" "no whole state from before that"
    # Damage is named; another replica's copy does.
    i=$(ls "$dir"/backup/1/segment-* | head -n 1)
    flip "$i" 200 3
    fails "$PINTLE" snapshot verify --backup-dir "$dir/backup" >"$dir/out" 2>&1
    has "$(cat "$dir/out")" "$(basename "$i") is damaged before byte"
    "$PINTLE" snapshot restore --backup-dir "$dir/backup" --to-revision "$revision" --data-dir "$dir/7" --id 7 --member 7=127.0.0.1:1 2>"$dir/err"
    has "$(cat "$dir/err")" "is damaged"
}

t_a_full_backup_directory_hurts_nobody() {
    mkdir "$dir/backup"
    mount -t tmpfs -o size=200k none "$dir/backup"
    trap 'servers_end; umount -l "$dir/backup" 2>/dev/null || true' EXIT
    local members=1 i big
    big=$(head -c 20000 /dev/urandom | base64 -w0)
    server 1 --backup-dir "$dir/backup" --backup-lag 1
    eventually 30 ready 1
    eventually 30 ask 1 GET /api/v1/namespaces/default
    eventually 10 shipped 1
    for i in $(seq 60); do put 1 "big-$i" "$big"; done
    eventually 20 failing 1 || { df "$dir/backup"; ls -l "$dir/backup/1"; tail "$dir/1/log"; ask 1 GET /metrics | grep backup; false; }
    for i in $(seq 5); do put 1 "more-$i" "$i"; done
    same "$(get 1 more-5)" 5
    grep -q "mend the directory" "$dir/1/log"
    mount -o remount,size=64m "$dir/backup"
    eventually 30 shipped 1
    same "$(metric 1 pintle_backup_failing)" 0
    "$PINTLE" snapshot verify --backup-dir "$dir/backup"
    # Gone altogether, as when a network disk is taken away: the mount point is not written to.
    umount -l "$dir/backup"
    end 1
    server 1 --backup-dir "$dir/backup/none" --backup-lag 1
    eventually 20 ready 1
    eventually 20 failing 1
    put 1 still works
    mkdir "$dir/backup/none"
    eventually 30 shipped 1
    "$PINTLE" snapshot verify --backup-dir "$dir/backup/none"
}
failing() { [ "$(metric "$1" pintle_backup_failing)" = 1 ]; }

t_others_join_what_was_recovered() {
    grown 1 2 3
    local i t
    for i in $(seq 10); do put 1 "item-$i" "$i"; done
    eventually 10 same_revisions 1 2 3
    for i in 1 2 3; do end "$i" KILL; done
    "$PINTLE" recover --data-dir "$dir/1/data"
    members=1 server 1
    eventually 30 ready 1
    same "$(members_json 1 | jq '.members | length')" 1
    put 1 after recovery
    # The others' machines, with nothing on their disks.
    rm -rf "$dir/2/data" "$dir/3/data"
    t=$(token 1)
    for i in 2 3; do
        joins "$i" "$t"
        eventually 30 ready "$i" || { tail -n 5 "$dir/1/log" "$dir/$i/log"; false; }
    done
    eventually 30 has_voters 1 3
    end 1 KILL
    eventually 20 get 2 after
    same "$(get 3 item-10)" 10
    eventually 10 put 2 and "goes on"
}
