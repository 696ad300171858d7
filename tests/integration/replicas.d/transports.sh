# Watches over WebSocket and HTTP/2, and what else clients may do with the transports.

t_api_websockets() { driven websockets events initial_events_and_bookmarks shapes protobuf subprotocols token_as_subprotocol refusals pings_and_large_messages too_old; }

# The server that is followed is killed twice.
t_api_websocket_over_kills() {
    local i follower
    cluster 1 2 3
    timeout 120 /usr/bin/python3 "$api_dir/websockets.py" "$dir/pki" "$(address 1)" "$(address 2)" "$(address 3)" -- over_kills >"$dir/follower.log" 2>&1 &
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
