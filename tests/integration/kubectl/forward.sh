# Forwards ports of a target, asks each of the local ones twice, and tells what came and what kubectl said.
said=$(mktemp)
"$KUBECTL" --kubeconfig "$KUBECONFIG" -n "$NS" port-forward "$@" >"$said" 2>&1 &
pid=$!
for _ in $(seq 50); do
    [ "$(grep -c 'Forwarding from 127' "$said")" -lt $(($# - 1)) ] || break
    kill -0 $pid 2>/dev/null || break
    sleep 0.1
done
for pair in "${@:2}"; do
    curl -s -m 5 "http://127.0.0.1:${pair%:*}/" || echo "curl: $?"
    curl -s -m 5 "http://127.0.0.1:${pair%:*}/" || echo "curl: $?"
done
sleep 0.2
kill $pid 2>/dev/null
wait $pid 2>/dev/null
grep -v '\[::1\]' "$said" | sed -E 's/^E[0-9]{4} .*(an error occurred forwarding .* to pod).*/E \1/'
rm -f "$said"
