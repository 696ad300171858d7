# Watches over WebSocket and HTTP/2, and what else clients may do with the transports.

t_api_websockets() { driven sockets events initial_events_and_bookmarks shapes protobuf subprotocols token_as_subprotocol refusals pings_and_large_messages too_old; }

# The server that is followed is killed twice.
t_api_websocket_over_kills() {
    local i follower
    cluster 1 2 3
    timeout 120 /usr/bin/python3 "$api_dir/sockets.py" "$dir/pki" "$(address 1)" "$(address 2)" "$(address 3)" -- over_kills >"$dir/follower.log" 2>&1 &
    follower=$!
    eventually 20 grep -q following "$dir/follower.log"
    for i in $(seq 60); do
        case $i in
        20) end 1 KILL ;;
        40) server 1; eventually 30 ready 1; end 2 KILL ;;
        esac
        eventually 20 ask 3 POST /api/v1/namespaces/default/configmaps -H 'Content-Type: application/json' -d '{"metadata":{"name":"k'"$i"'"}}' >/dev/null 2>&1
    done
    wait $follower || { cat "$dir/follower.log"; return 1; }
}

t_api_http2() { driven http2 alpn watches many_on_one_connection fair stalled_reader resets_are_bounded; }

t_api_http2_goodbye() {
    local follower
    cluster 1 2 3
    timeout 60 /usr/bin/python3 "$api_dir/http2.py" "$dir/pki" "$(address 1)" "$(address 2)" "$(address 3)" -- goodbye >"$dir/follower.log" 2>&1 &
    follower=$!
    eventually 20 grep -q watching "$dir/follower.log"
    end 3 TERM
    wait $follower || { cat "$dir/follower.log"; return 1; }
}

# curl speaks HTTP/2 by itself: a watch that ends by its time, with the events and the bookmark that came meanwhile.
t_api_http2_curl() {
    cluster 1 2 3
    local out events=/api/v1/namespaces/default/configmaps
    put 1 there x
    out=$(ask 1 GET "$events?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=2" \
        --http2 -w '\n%{http_version} %{http_code}\n')
    same "$(tail -n 1 <<<"$out")" "2 200"
    has "$(jq -r '.type + " " + .object.metadata.name' <<<"$(head -n -1 <<<"$out")" | tr '\n' ' ')" "ADDED there"
    has "$out" '"k8s.io/initial-events-end":"true"'
    same "$(ask 1 GET /livez --http1.1 -w ' %{http_version}')" "ok 1.1"
}

t_api_requests() { driven asking; }
