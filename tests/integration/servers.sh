# Servers for a test: certificates, starting, ending, asking. Sourced; wants $dir, $net and $PINTLE.

address() { echo "$net.$1"; }

# pki N...: an authority, an admin and a certificate for each server
pki() {
    local i
    [ -e "$dir/pki/ca.crt" ] || "$PINTLE" cert init --dir "$dir/pki"
    [ -e "$dir/pki/admin.crt" ] || "$PINTLE" cert issue --ca-dir "$dir/pki" --dir "$dir/pki" --name admin --group system:masters
    for i in "$@"; do
        [ -e "$dir/$i/pki/server.crt" ] ||
            "$PINTLE" cert issue --ca-dir "$dir/pki" --dir "$dir/$i/pki" --name "$i" --server --ip "$(address "$i")"
    done
}

# server N [OPTIONS...]: starts it with what $members says (the first members are 1, 2 and 3)
server() {
    local i=$1 j args=()
    shift
    pki "$i"
    for j in ${members-1 2 3}; do args+=(--member "$j=$(address "$j"):7443,$(address "$j"):6443"); done
    "$PINTLE" server --id "$i" --data-dir "$dir/$i/data" --cert-dir "$dir/$i/pki" --listen "$(address "$i"):6443" \
        --peer-listen "$(address "$i"):7443" "${args[@]}" "$@" >>"$dir/$i/log" 2>&1 &
    echo $! >"$dir/$i/pid"
}

running() { [ -s "$dir/$1/pid" ] && kill -0 "$(cat "$dir/$1/pid")" 2>/dev/null; }

# end N [SIGNAL]: ends a server and waits for it
end() {
    local _
    running "$1" || return 0
    kill "-${2:-TERM}" "$(cat "$dir/$1/pid")"
    for _ in $(seq 150); do
        running "$1" || return 0
        sleep 0.1
    done
    echo "server $1 does not end"
    kill -KILL "$(cat "$dir/$1/pid")"
    return 1
}

servers_end() {
    local d
    for d in "$dir"/*/pid; do
        [ -s "$d" ] || continue
        d=$(basename "$(dirname "$d")")
        kill -CONT "$(cat "$dir/$d/pid")" 2>/dev/null || true
        end "$d" || true
    done
}

# A build with sanitizers writes its findings to the logs.
no_reports() { ! grep -A 30 -E 'Sanitizer|runtime error' "$dir"/*/log; }

# ask N METHOD PATH [CURL OPTIONS]: prints the body; fails when there is no answer or an error
ask() {
    local i=$1 method=$2 path=$3
    shift 3
    curl -sS --fail-with-body -m 20 --cacert "$dir/pki/ca.crt" --cert "$dir/pki/admin.crt" --key "$dir/pki/admin.key" -X "$method" "$@" \
        "https://$(address "$i"):6443$path"
}
ready() { local i; for i in "$@"; do ask "$i" GET /readyz >/dev/null 2>&1 || return 1; done; }
# metric N NAME
metric() { ask "$1" GET /metrics | awk -v name="$2" '$1 == name { printf "%.0f\n", $2 }'; }
leader() {
    local i
    for i in ${members-1 2 3}; do [ "$(metric "$i" pintle_raft_is_leader 2>/dev/null)" = 1 ] && { echo "$i"; return; }; done
    return 1
}
# put N NAME VALUE: writes a ConfigMap of the default namespace; get N NAME
put() {
    local body
    body='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"'$2'"},"data":{"v":"'$3'"}}'
    ask "$1" PUT "/api/v1/namespaces/default/configmaps/$2" -H 'Content-Type: application/json' -d "$body" >/dev/null 2>&1 ||
        ask "$1" POST /api/v1/namespaces/default/configmaps -H 'Content-Type: application/json' -d "$body" >/dev/null
}
get() { ask "$1" GET "/api/v1/namespaces/default/configmaps/$2" | jq -r .data.v; }
# pintle COMMAND... with the admin's certificate
admin() { "$PINTLE" "$@" --cert-dir "$dir/pki"; }
# cluster N...: starts these servers as a cluster's first members and waits until they serve
cluster() {
    local members="$*" i
    pki "$@"
    for i in "$@"; do server "$i"; done
    eventually 30 ready "$@"
    eventually 30 ask "$1" GET /api/v1/namespaces/default
}
