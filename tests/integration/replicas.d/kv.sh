# The key-value space for add-ons: /pintle/v1/kv/SPACE/txn.

# kv N SPACE BODY: prints the answer; fails when it is an error
kv() { ask "$1" POST "/pintle/v1/kv/$2/txn" -H 'Content-Type: application/json' -d "$3"; }
kv_refused() { # kv_refused SPACE BODY CODE TEXT
    local out
    out=$(kv 1 "$1" "$2") && return 1
    same "$(jq .code <<<"$out")" "$3"
    has "$out" "$4"
}

t_kv_transactions() {
    local out r f
    cluster 1 2 3
    f=$(($(leader) % 3 + 1)) # a follower
    # writes, and what the transaction itself sees of them
    out=$(kv "$f" shop '{"then":[{"read":"a"},{"put":"a","value":"1"},{"read":"a"},{"put":"b/x","value":"{\"x\": \"ü\"}"},{"delete":"none"}]}')
    same "$(jq -c '[.succeeded, .results[0], .results[2].value, .results[4].deleted]' <<<"$out")" '[true,{"key":"a"},"1",false]'
    r=$(jq '.results[1].revision' <<<"$out")
    same "$(jq '.results[2].revision' <<<"$out")" "$r"
    same "$(jq '.revision' <<<"$out")" $((r + 1))
    # every replica shows it
    for i in 1 2 3; do
        out=$(kv "$i" shop '{"then":[{"read":"a"},{"read":"b/x"},{"read":"none"}]}')
        same "$(jq -c '.results' <<<"$out")" \
            '[{"key":"a","value":"1","revision":'"$r"'},{"key":"b/x","value":"{\"x\": \"ü\"}","revision":'$((r + 1))'},{"key":"none"}]'
    done
    # comparisons: all must hold, else nothing of `then` is done
    for c in '"revision":'"$r" '"value":"1"' '"exists":true'; do
        out=$(kv "$f" shop '{"compare":[{"key":"a",'"$c"'},{"key":"none","exists":false}],"then":[{"read":"a"}],"else":[{"put":"wrong","value":""}]}')
        same "$(jq .succeeded <<<"$out")" true
    done
    for c in '"revision":'$((r + 5)) '"value":"2"' '"exists":false'; do
        out=$(kv "$f" shop '{"compare":[{"key":"b/x","exists":true},{"key":"a",'"$c"'}],"then":[{"put":"wrong","value":""}],"else":[{"read":"a"},{"read":"wrong"}]}')
        same "$(jq -c '[.succeeded, .results[0].value, .results[1]]' <<<"$out")" '[false,"1",{"key":"wrong"}]'
    done
    # move a value: all or nothing
    out=$(kv "$f" shop '{"compare":[{"key":"a","value":"1"}],"then":[{"delete":"a"},{"put":"moved","value":"1"},{"read":"a"}]}')
    same "$(jq -c '[.results[0].deleted, .results[2]]' <<<"$out")" '[true,{"key":"a"}]'
    # lists, in pages
    kv 1 shop '{"then":[{"put":"l/1","value":"one"},{"put":"l/2","value":"two"},{"put":"l/3","value":"three"},{"put":"m","value":"no"}]}' >/dev/null
    out=$(kv "$f" shop '{"then":[{"list":"l/","limit":2}]}')
    same "$(jq -c '[.results[0].items[].key, .results[0].more]' <<<"$out")" '["l/1","l/2",true]'
    out=$(kv "$f" shop '{"then":[{"list":"l/","after":"l/2"}]}')
    same "$(jq -c '[.results[0].items[].value, .results[0].more]' <<<"$out")" '["three",null]'
    same "$(kv 1 shop '{"then":[{"list":""}]}' | jq '.results[0].items | length')" 6
    # a space of one's own
    same "$(kv 1 other '{"then":[{"list":""},{"read":"m"}]}' | jq -c '[.results[0].items, .results[1]]')" '[[],{"key":"m"}]'
    # a time to live
    kv 1 shop '{"then":[{"put":"brief","value":"x","ttlSeconds":1}]}' >/dev/null
    eventually 10 eval '[ "$(kv 2 shop "{\"then\":[{\"read\":\"brief\"}]}" | jq -c .results)" = "[{\"key\":\"brief\"}]" ]'
    # no Kubernetes object can be reached, or be mistaken for one
    lacks "$(ask 1 GET '/api/v1/namespaces/default/configmaps')" moved
    kv_refused -x '{"then":[{"read":"a"}]}' 404 'want /pintle/v1/kv/SPACE/txn'
    kv_refused 'shop%2fx' '{"then":[{"read":"a"}]}' 404 'want /pintle/v1/kv/SPACE/txn'
    # it survives restarts and is in backups
    for i in 1 2 3; do end "$i" KILL; done
    for i in 1 2 3; do server "$i"; done
    eventually 30 ready 1 2 3
    same "$(kv 2 shop '{"then":[{"read":"moved"}]}' | jq -r '.results[0].value')" 1
    admin snapshot save "$dir/backup" --server "$(address 1):6443" >/dev/null
    has "$(admin snapshot verify "$dir/backup" --server "$(address 1):6443")" 'pintle/kv'
}

t_kv_limits_and_rights() {
    cluster 1 2 3
    local big many i
    kv_refused s '{"then":[{"put":"a","value":"1"},{"delete":"a"}]}' 422 'only once'
    kv_refused s '{"then":[{"put":"a","value":"1"},{"list":""}]}' 422 'cannot write'
    kv_refused s '{"then":[{"put":"a"}]}' 422 'a value must be text'
    kv_refused s '{"then":[{"put":"","value":"x"}]}' 422 'a key must be text'
    kv_refused s '{"then":[{"put":"a\u0001b","value":"x"}]}' 422 'without control characters'
    kv_refused s '{"then":[{"put":"a","read":"b","value":"x"}]}' 422 'one of read, list, put and delete'
    kv_refused s '{"then":[{"put":"a","value":"x","ttlSeconds":0}]}' 422 'ttlSeconds must be'
    kv_refused s '{"compare":[{"key":"a"}]}' 422 'one of exists, revision and value'
    kv_refused s '{"compare":[{"key":"a","exists":true,"value":"x"}]}' 422 'one of exists, revision and value'
    kv_refused s '{"then":[' 400 ''
    kv_refused s '[]' 422 'want {'
    kv_refused s "{\"then\":[{\"read\":\"$(head -c 513 /dev/zero | tr '\0' k)\"}]}" 422 '1 to 512 bytes'
    many=$(for i in $(seq 129); do printf '%s{"read":"k%s"}' "${many+,}" "$i"; many=; done)
    kv_refused s "{\"then\":[$many]}" 422 'at most 128'
    head -c 1048577 /dev/zero | tr '\0' v >"$dir/big"
    (printf '{"then":[{"put":"a","value":"' && cat "$dir/big" && printf '"}]}') >"$dir/body"
    big=$(ask 1 POST /pintle/v1/kv/s/txn -H 'Content-Type: application/json' --data-binary "@$dir/body") && return 1
    has "$big" 'at most 1048576 bytes'
    big=$(ask 1 GET /pintle/v1/kv/s/txn) && return 1
    has "$big" 'POST only'
    # who may: whoever RBAC lets post to the path of a space
    "$PINTLE" cert issue --ca-dir "$dir/pki" --dir "$dir/pki" --name addon
    as() { curl -s -m 20 --cacert "$dir/pki/ca.crt" --cert "$dir/pki/addon.crt" --key "$dir/pki/addon.key" -X POST -H 'Content-Type: application/json' \
        -d '{"then":[{"put":"a","value":"1"}]}' "https://$(address 2):6443/pintle/v1/kv/$1/txn"; }
    same "$(as mine | jq .code)" 403
    ask 1 POST /apis/rbac.authorization.k8s.io/v1/clusterroles -H 'Content-Type: application/json' -d '{"metadata":{"name":"kv-mine"},
        "rules":[{"nonResourceURLs":["/pintle/v1/kv/mine/txn"],"verbs":["post"]}]}' >/dev/null
    ask 1 POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings -H 'Content-Type: application/json' -d '{"metadata":{"name":"kv-mine"},
        "roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"kv-mine"},
        "subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"addon"}]}' >/dev/null
    eventually 5 eval '[ "$(as mine | jq .succeeded)" = true ]'
    same "$(as yours | jq .code)" 403
    same "$(as mine/../yours | jq .code)" 403
    same "$(curl -s -m 20 --cacert "$dir/pki/ca.crt" -X POST -d '{}' "https://$(address 2):6443/pintle/v1/kv/mine/txn" | jq .code)" 401
}

# Many add to the same two counters at once, at all replicas, while leaders die: nothing is lost, nothing done twice, and the
# two are always equal.
t_kv_counters_under_failover() {
    cluster 1 2 3
    local i out sum=0
    kv 1 c '{"then":[{"put":"x","value":"0"},{"put":"y","value":"0"}]}' >/dev/null
    adder() { # adds 1 to both until told to stop; counts what was done, and what may have been
        local i=$1 v out done_=0 maybe=0
        while [ ! -e "$dir/stop" ]; do
            out=$(kv "$i" c '{"then":[{"read":"x"},{"read":"y"}]}' 2>/dev/null) || { sleep 0.1; continue; }
            same "$(jq -c '[.results[].value] | unique | length' <<<"$out")" 1 || touch "$dir/unequal"
            v=$(jq -r '.results[0].value' <<<"$out")
            out=$(kv "$i" c '{"compare":[{"key":"x","value":"'"$v"'"}],"then":[{"put":"x","value":"'$((v + 1))'"},{"put":"y","value":"'$((v + 1))'"}]}' 2>/dev/null) ||
                { maybe=$((maybe + 1)); continue; }
            [ "$(jq .succeeded <<<"$out")" = true ] && { done_=$((done_ + 1)); echo >>"$dir/done"; }
        done
        echo "$done_ $maybe" >"$dir/adder-$i"
    }
    for i in 1 2 3; do adder "$i" & done
    for _ in 1 2 3; do
        sleep 2
        i=$(leader) || continue
        end "$i" KILL
        sleep 1
        server "$i"
        eventually 20 ready "$i"
    done
    eventually 120 enough_done
    touch "$dir/stop"
    for i in 1 2 3; do eventually 60 test -e "$dir/adder-$i"; done
    cat "$dir"/adder-*
    [ ! -e "$dir/unequal" ]
    out=$(kv 1 c '{"then":[{"read":"x"},{"read":"y"}]}')
    sum=$(awk '{ n += $1 } END { print n }' "$dir"/adder-*)
    i=$(jq -r '.results[0].value' <<<"$out")
    same "$(jq -r '.results[1].value' <<<"$out")" "$i"
    [ "$i" -ge "$sum" ] && [ "$i" -le "$(awk '{ n += $1 + $2 } END { print n }' "$dir"/adder-*)" ]
    [ "$sum" -gt 20 ]
}
enough_done() { [ "$(wc -l <"$dir/done")" -gt 20 ]; }

# A follower's write whose answer was lost is tried again at the next leader. If that refuses it, the first try may still
# arrive somewhere later: so nobody may be told that it was refused. Found by jepsen/, workload register, seed 2204.
t_repeated_write_is_not_refused() {
    local l f out
    cluster 1 2 3
    l=$(leader)
    f=$((l % 3 + 1))
    # as server F, for the admin, what it tried before: passed METHOD PATH BODY
    passed() { curl -s -m 20 --cacert "$dir/pki/ca.crt" --cert "$dir/$f/pki/server.crt" --key "$dir/$f/pki/server.key" -X "$1" \
        -H 'Content-Type: application/json' -H 'x-remote-user: admin' -H 'x-remote-group: system:masters' -H "x-pintle-write-id: try-$RANDOM" \
        "${again[@]}" -d "$3" "https://$(address "$l"):6443$2"; }
    local again=() absent='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"absent","resourceVersion":"7"}}'
    local compare='{"compare":[{"key":"none","exists":true}],"then":[{"put":"x","value":"1"}]}'
    same "$(passed PUT /api/v1/namespaces/default/configmaps/absent "$absent" | jq .code)" 404
    same "$(passed DELETE /api/v1/namespaces/default/configmaps/absent '' | jq .code)" 404
    same "$(passed POST /pintle/v1/kv/s/txn "$compare" | jq .succeeded)" false
    again=(-H 'x-pintle-write-since: 1')
    same "$(passed PUT /api/v1/namespaces/default/configmaps/absent "$absent" | jq .code)" 504
    same "$(passed DELETE /api/v1/namespaces/default/configmaps/absent '' | jq .code)" 504
    same "$(passed POST /pintle/v1/kv/s/txn "$compare" | jq .code)" 504
    # what takes effect is answered as ever
    same "$(passed POST /api/v1/namespaces/default/configmaps '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new"}}' | jq -r .metadata.name)" new
}
