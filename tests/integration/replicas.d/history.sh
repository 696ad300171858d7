# The past of a cluster, and states that are not what they should be.

# as NAME N METHOD PATH [CURL OPTIONS]: like ask, as another user
as() {
    local name=$1 i=$2 method=$3 path=$4
    shift 4
    curl -sS --fail-with-body -m 20 --cacert "$dir/pki/ca.crt" --cert "$dir/pki/$name.crt" --key "$dir/pki/$name.key" -X "$method" "$@" \
        "https://$(address "$i"):6443$path"
}
user() { "$PINTLE" cert issue --ca-dir "$dir/pki" --dir "$dir/pki" --name "$@"; }
json=(-H 'Content-Type: application/json')
merge=(-H 'Content-Type: application/merge-patch+json')
revision() { ask "$1" GET /pintle/v1/hash | jq .revision; }
code_of() { # code_of NAME N PATH
    curl -s -o /dev/null -m 20 -w '%{http_code}' --cacert "$dir/pki/ca.crt" --cert "$dir/pki/$1.crt" --key "$dir/pki/$1.key" "https://$(address "$2"):6443$3"
}
gives() { [ "$(code_of "$2" "$3" "$4")" = "$1" ]; } # gives CODE NAME N PATH
format_two() { [ "$(ask "$1" GET /metrics | awk '$1 == "pintle_store_format" { printf "%.0f", $2 }')" = 2 ]; }
web='{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":1,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":"web:1"}]}}}}'

t_history_tells_who_and_what() {
    cluster 1 2 3
    eventually 10 format_two 1
    user alice --group system:masters
    local out at r1 r2 created
    as alice 1 POST /apis/apps/v1/namespaces/default/deployments "${json[@]}" -d "$web" >/dev/null
    r1=$(ask 1 GET /apis/apps/v1/namespaces/default/deployments/web | jq -r .metadata.resourceVersion)
    sleep 1.1
    at=$(date -u +%FT%TZ)
    sleep 1.1
    ask 2 PATCH "/apis/apps/v1/namespaces/default/deployments/web?fieldManager=by-hand" "${merge[@]}" -d '{"spec":{"replicas":3}}' >/dev/null
    as alice 3 PATCH "/apis/apps/v1/namespaces/default/deployments/web" -H 'Content-Type: application/strategic-merge-patch+json' \
        -d '{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"web:2"}]}}}}' >/dev/null
    for i in 1 2 3; do
        out=$(admin history deploy/web --server "$(address "$i"):6443")
        has "$out" "create  alice"
        has "$out" "spec.replicas: 1 → 3"
        has "$out" 'spec.template.spec.containers[web].image: "web:1" → "web:2"'
        has "$out" "by-hand"
        has "$out" "update  admin"
        lacks "$out" "resourceVersion"
    done
    admin history Deployment web -o json --server "$(address 1):6443" | jq -e '.complete and .exists and (.items[-1].verb == "create")' >/dev/null
    same "$(admin history deploy/web --limit 1 -o json --server "$(address 1):6443" | jq '.items | length')" 1

    created=$(admin history deploy/web -o json --server "$(address 1):6443" | jq '.items[-1].revision')
    # The same object as it was, by revision and by time, alone and in lists.
    same "$(ask 2 GET "/apis/apps/v1/namespaces/default/deployments/web?pintleAsOf=$r1" | jq .spec.replicas)" 1
    same "$(ask 3 GET "/apis/apps/v1/namespaces/default/deployments/web?pintleAsOf=$at" | jq .spec.replicas)" 1
    same "$(ask 3 GET "/apis/apps/v1/namespaces/default/deployments?pintleAsOf=$at" | jq '.items[0].spec.replicas')" 1
    same "$(ask 1 GET "/apis/apps/v1/namespaces/default/deployments?pintleAsOf=$((created - 1))" | jq '.items | length')" 0
    same "$(ask 1 GET "/apis/apps/v1/namespaces/default/deployments/web" | jq .spec.replicas)" 3
    has "$(ask 1 GET "/apis/apps/v1/namespaces/default/deployments/web?pintleAsOf=$r1" -i)" "arning: 299 - \"this is the past: revision $r1"
    same "$(code_of admin 1 "/apis/apps/v1/namespaces/default/deployments/web?pintleAsOf=tomorrow")" 400
    same "$(code_of admin 1 "/apis/apps/v1/namespaces/default/deployments/web?pintleAsOf=2200-01-01T00:00:00Z")" 400
    same "$(code_of admin 1 "/apis/apps/v1/namespaces/default/deployments?watch=true&pintleAsOf=$r1")" 400
    r2=$(revision 1)
    same "$(code_of admin 1 "/apis/apps/v1/namespaces/default/deployments?pintleAsOf=$((r2 + 1000))")" 400

    # A restart keeps the past, and who made it.
    for i in 1 2 3; do end "$i"; done
    for i in 1 2 3; do server "$i"; done
    eventually 30 ready 1 2 3
    has "$(admin history deploy/web --server "$(address 2):6443")" "create  alice"
}

t_history_is_for_those_who_may_get() {
    cluster 1
    user bob
    local out
    ask 1 POST /api/v1/namespaces/default/secrets "${json[@]}" -d '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","annotations":{"note":"Zmlyc3Q="}},"data":{"k":"Zmlyc3Q="}}' >/dev/null
    ask 1 PATCH /api/v1/namespaces/default/secrets/s "${merge[@]}" -d '{"metadata":{"annotations":{"note":"c2Vjb25k"}},"data":{"k":"c2Vjb25k"}}' >/dev/null
    out=$(admin history secret/s --server "$(address 1):6443"; admin history secret/s -o json --server "$(address 1):6443")
    has "$out" "data.k"
    lacks "$out" "c2Vjb25k"
    lacks "$out" "Zmlyc3Q="
    # Neither the path nor the object alone is enough.
    same "$(code_of bob 1 "/pintle/v1/history?type=secret&name=s")" 403
    ask 1 POST /apis/rbac.authorization.k8s.io/v1/clusterroles "${json[@]}" -d '{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"historian"},"rules":[{"nonResourceURLs":["/pintle/v1/history"],"verbs":["get"]},{"apiGroups":[""],"resources":["configmaps"],"verbs":["get"]}]}' >/dev/null
    ask 1 POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings "${json[@]}" -d '{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"historian"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"historian"},"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"bob"}]}' >/dev/null
    put 1 c 1
    eventually 5 gives 200 bob 1 "/pintle/v1/history?type=cm&name=c"
    same "$(code_of bob 1 "/pintle/v1/history?type=secret&name=s")" 403
    same "$(code_of bob 1 "/pintle/v1/deleted?type=cm&name=c")" 403
    same "$(code_of admin 1 "/pintle/v1/history?type=cm&name=never")" 404
    same "$(code_of admin 1 "/pintle/v1/history?type=nonsense&name=x")" 404
    same "$(code_of admin 1 "/pintle/v1/history?type=cm")" 400
}

t_undelete() {
    cluster 1 2 3
    eventually 10 format_two 1
    local out old
    ask 1 POST /apis/apps/v1/namespaces/default/deployments "${json[@]}" -d "$web" >/dev/null
    ask 1 PATCH /apis/apps/v1/namespaces/default/deployments/web "${merge[@]}" -d '{"spec":{"replicas":7}}' >/dev/null
    old=$(ask 1 GET /apis/apps/v1/namespaces/default/deployments/web | jq -r .metadata.uid)
    ask 1 POST /api/v1/namespaces/default/configmaps "${json[@]}" -d '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"owned","ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"'"$old"'"}]},"data":{"a":"b"}}' >/dev/null
    if admin undelete deploy/web --server "$(address 2):6443" 2>"$dir/out"; then return 1; fi
    has "$(cat "$dir/out")" "exists"
    ask 1 DELETE /api/v1/namespaces/default/configmaps/owned >/dev/null
    ask 1 DELETE /apis/apps/v1/namespaces/default/deployments/web >/dev/null
    eventually 10 gives 404 admin 1 /apis/apps/v1/namespaces/default/deployments/web
    admin undelete deploy/web --dry-run --server "$(address 2):6443"
    same "$(code_of admin 1 /apis/apps/v1/namespaces/default/deployments/web)" 404
    # The owner is gone, and stays out; its own undeletion first would not help: it has another uid.
    out=$(admin undelete cm/owned --server "$(address 3):6443" 2>&1)
    has "$out" "metadata.ownerReferences[web] (it is gone)"
    same "$(ask 2 GET /api/v1/namespaces/default/configmaps/owned | jq -r .data.a)" b
    out=$(admin undelete deploy/web --server "$(address 2):6443" 2>&1)
    has "$out" "by admin"
    has "$out" "metadata.uid"
    same "$(ask 3 GET /apis/apps/v1/namespaces/default/deployments/web | jq .spec.replicas)" 7
    [ "$(ask 3 GET /apis/apps/v1/namespaces/default/deployments/web | jq -r .metadata.uid)" != "$old" ]
    if admin undelete cm/never --server "$(address 2):6443" 2>"$dir/out"; then return 1; fi
    has "$(cat "$dir/out")" 'configmaps "never" not found'
}

t_hash_of_a_revision() {
    cluster 1 2 3
    local i r hash
    for i in $(seq 20); do put 1 "k$i" "$i"; done
    r=$(($(revision 1) - 7))
    hash=$(ask 1 GET "/pintle/v1/hash?revision=$r" | jq -r .hash)
    for i in $(seq 20); do put 2 "k$i" "again-$i"; done
    for i in 1 2 3; do same "$(ask "$i" GET "/pintle/v1/hash?revision=$r" | jq -r .hash)" "$hash"; done
    same "$(code_of admin 1 /pintle/v1/hash?revision=99999999)" 400
    # A backup is compared with the cluster it is of.
    admin snapshot save "$dir/save" --server "$(address 2):6443" >/dev/null
    put 3 after save
    admin snapshot verify "$dir/save" --server "$(address 3):6443" >"$dir/out" 2>&1
    has "$(cat "$dir/out")" "same hash"
}

t_history_window_options() {
    local bad
    pki 1
    for bad in "--history-window-bytes 5" "--history-window-bytes 99999999999999" "--history-window-age 3"; do
        # shellcheck disable=SC2086
        if members=1 "$PINTLE" server --id 1 --member "1=$(address 1):7443,$(address 1):6443" $bad 2>"$dir/out"; then return 1; fi
        has "$(cat "$dir/out")" "${bad% *}"
    done
    members=1 server 1 --history-window-bytes 16777216 --history-window-age 60
    members=1 eventually 20 ready 1
    put 1 a 1
    [ "$(metric 1 pintle_store_window_events)" -gt 0 ]
}

fenced() { [ "$(metric "$1" pintle_state_fenced)" = "$2" ]; }

# A replica whose snapshot says something else than the others', with all its checksums right.
t_altered_state_is_found_and_replaced() {
    members="1 2 3"
    local i j
    pki 1 2 3
    for i in 1 2 3; do server "$i" --snapshot-every 100; done
    eventually 30 ready 1 2 3
    eventually 10 format_two 1
    put 1 treasure golden
    for j in $(seq 150); do put 1 "k$((j % 20))" "$j"; done
    i=$(($(leader) % 3 + 1)) # a follower
    eventually 20 grep -q "snapshot taken" "$dir/$i/log"
    end "$i" KILL
    "$(dirname "$PINTLE")/tests/tools/snapshot_edit" "$dir/$i/data" golden rotten
    server "$i" --snapshot-every 100
    eventually 30 grep -q "fenced reason" "$dir/$i/log"
    eventually 30 grep -q "fenced no more" "$dir/$i/log"
    grep -E "fenced|differ" "$dir/$i/log"
    eventually 10 ready "$i"
    for j in 1 2 3; do same "$(get "$j" treasure)" golden; done
    fenced "$i" 0
    # It is the replica it was: log, vote and id are the same, so with it two are enough.
    j=$((i % 3 + 1))
    end "$j" KILL
    eventually 20 put "$i" with-it works
    # And its disk is sound.
    end "$i" KILL
    server "$i"
    eventually 20 ready "$i"
    same "$(get "$i" treasure)" golden
    lacks "$(tac "$dir/$i/log" | sed "/serving listen/q")" "fenced"
}

# A replica that may not be shown: what clients get.
t_fenced_replica_serves_nothing() {
    members="1 2 3"
    local i j out
    cluster 1 2 3
    put 1 a 1
    i=$(($(leader) % 3 + 1))
    j=$((i % 3 + 1))
    end "$i"
    touch "$dir/$i/data/fenced"
    # The others are stopped as long as we look: there is nobody to get a state from.
    for j in 1 2 3; do [ "$j" = "$i" ] || kill -STOP "$(cat "$dir/$j/pid")"; done
    server "$i"
    eventually 20 grep -q "serving listen" "$dir/$i/log"
    eventually 10 gives 503 admin "$i" "/api/v1/namespaces/default/configmaps/a?resourceVersion=0"
    out=$(ask "$i" GET "/api/v1/namespaces/default/configmaps/a?resourceVersion=0" || true)
    has "$out" "this server is fenced"
    same "$(code_of admin "$i" /readyz)" 500
    same "$(code_of admin "$i" /livez)" 200
    eventually 5 fenced "$i" 1
    for j in 1 2 3; do [ "$j" = "$i" ] || kill -CONT "$(cat "$dir/$j/pid")"; done
    for j in $(seq 5); do put $((i % 3 + 1)) "k$j" "$j" || true; done
    eventually 60 ready "$i"
    same "$(get "$i" a)" 1
    [ ! -e "$dir/$i/data/fenced" ]
}
