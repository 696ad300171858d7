# Secrets are encrypted before they reach a disk.

new_key() { echo "$1:$(head -c 32 /dev/urandom | base64)"; }
# keys N FILE: the servers' key file, put there in one step
keys() { mkdir -p "$dir/$1" && cp "$2" "$dir/$1/keys"; }
# sealing_server N: a server with its key file
sealing_server() { server "$1" --encryption-key-file "$dir/$1/keys" --snapshot-every 60; }
restart() { end "$1" && sealing_server "$1" && eventually 20 ready "$1" && eventually 20 ask "$1" GET /api/v1/namespaces/default; }
secrets=/api/v1/namespaces/default/secrets
# put_secret N NAME VALUE: with an annotation that repeats it, as kubectl apply has it
put_secret() {
    local body
    body=$(jq -nc --arg n "$2" --arg v "$(printf %s "$3" | base64 -w 0)" --arg plain "$3" \
        '{apiVersion:"v1",kind:"Secret",metadata:{name:$n,labels:{app:$n},annotations:{last:({data:{v:$v},stringData:{p:$plain}}|tostring)}},data:{v:$v}}')
    ask "$1" PUT "$secrets/$2" -H 'Content-Type: application/json' -d "$body" 2>/dev/null ||
        ask "$1" POST "$secrets" -H 'Content-Type: application/json' -d "$body"
}
get_secret() { ask "$1" GET "$secrets/$2" | jq -r .data.v | base64 -d; }
no_file_has() { ! grep -rqaF -- "$1" "$dir"/[123]/data || { echo "\"$1\" is in:"; grep -rlaF -- "$1" "$dir"/[123]/data; return 1; }; }
some_file_has() { grep -rqaF -- "$1" "$dir"/[123]/data; }

t_secrets_are_encrypted_at_rest() {
    local i text=pencil-Case-9712 text64 body watcher revision
    text64=$(printf %s $text | base64 -w 0)
    new_key first >"$dir/one"
    for i in 1 2 3; do keys "$i" "$dir/one"; sealing_server "$i"; done
    eventually 30 ready 1 2 3
    eventually 30 ask 1 GET /api/v1/namespaces/default
    revision=$(ask 1 GET "$secrets" | jq -r .metadata.resourceVersion)
    curl -sSN -m 20 --cacert "$dir/pki/ca.crt" --cert "$dir/pki/admin.crt" --key "$dir/pki/admin.key" \
        "https://$(address 2):6443$secrets?watch=1&resourceVersion=$revision&timeoutSeconds=8" >"$dir/watched" &
    watcher=$!
    body=$(put_secret 1 mine $text)
    has "$body" "\"v\":\"$text64\""
    lacks "$body" sealed
    put_secret 2 other first >/dev/null
    put_secret 2 other second >/dev/null
    put_secret 2 other second >/dev/null # changes nothing
    ask 3 PATCH "$secrets/other" -H 'Content-Type: application/merge-patch+json' -d '{"data":{"more":"bW9yZQ=="}}' >/dev/null
    ask 3 PATCH "$secrets/applied?fieldManager=me" -H 'Content-Type: application/apply-patch+yaml' \
        -d "{apiVersion: v1, kind: Secret, metadata: {name: applied}, stringData: {v: $text}}" >/dev/null
    ask 1 DELETE "$secrets/other" >/dev/null
    for i in 1 2 3; do
        eventually 5 same "$(get_secret "$i" mine)" $text
        same "$(get_secret "$i" applied)" $text
        same "$(ask "$i" GET "$secrets?labelSelector=app%3Dmine" | jq -r '.items[].data.v')" "$text64"
        same "$(ask "$i" GET "$secrets/mine" | jq -c '[.metadata.name,.metadata.namespace,.metadata.labels.app,.metadata.resourceVersion!=null,.type]')" \
            '["mine","default","mine",true,"Opaque"]'
        # Bytes, too: what GET gives is what the list and a Table are made of.
        has "$(ask "$i" GET "$secrets/mine" -H 'Accept: application/json;as=Table;v=v1;g=meta.k8s.io')" '"Opaque"'
    done
    wait $watcher || true
    same "$(jq -r 'select(.object.metadata.name == "other") | .type' "$dir/watched" | tr '\n' ' ')" "ADDED MODIFIED MODIFIED DELETED "
    same "$(jq -r 'select(.object.metadata.name == "mine").object.data.v' "$dir/watched")" "$text64"
    same "$(jq -r 'select(.type == "DELETED").object.data.more' "$dir/watched")" "bW9yZQ=="
    for i in $(seq 70); do put 1 "in-the-clear-$((i % 3))" "v$i"; done # until there is a snapshot
    eventually 20 snapshot_exists 1
    some_file_has in-the-clear-1 # the search finds what is there to be found
    some_file_has '"sealed":"first:'
    no_file_has $text
    no_file_has "$text64"
    same "$(metric 1 'pintle_encrypted_objects{key="first",resource="secrets"}')" 2
    admin snapshot save "$dir/backup" --server "$(address 1):6443" >/dev/null
    ! grep -qaF "$text64" "$dir/backup"
}

# sealed N KEY COUNT: server N has so many Secrets under that key ("" = none); a follower may be a moment behind
sealed() {
    local n
    n=$(metric "$1" "pintle_encrypted_objects{key=\"$2\",resource=\"secrets\"}")
    [ "${n:-0}" = "$3" ]
}

t_encryption_keys_are_rotated() {
    local i body
    new_key first >"$dir/one"
    new_key second >"$dir/second"
    cat "$dir/second" "$dir/one" >"$dir/both"
    for i in 1 2 3; do server "$i"; done # in the beginning nothing is encrypted
    eventually 30 ready 1 2 3
    eventually 30 put_secret 1 old from-the-beginning
    for i in 1 2 3; do keys "$i" "$dir/one"; restart "$i"; done
    same "$(get_secret 2 old)" from-the-beginning
    eventually 5 sealed 1 "" 1
    put_secret 1 a with-the-first >/dev/null
    "$PINTLE" reseal --cert-dir "$dir/pki" --server "$(address 2):6443"
    eventually 5 sealed 1 "" 0
    eventually 5 sealed 1 first 2
    # A new key, first where it only decrypts, then where it encrypts.
    cat "$dir/one" "$dir/second" >"$dir/known"
    for i in 1 2 3; do keys "$i" "$dir/known"; restart "$i"; done
    for i in 1 2 3; do keys "$i" "$dir/both"; restart "$i"; done
    put_secret 3 b with-the-second >/dev/null
    "$PINTLE" reseal --cert-dir "$dir/pki" --server "$(address 1):6443"
    for i in 1 2 3; do
        eventually 5 sealed "$i" second 3
        eventually 5 sealed "$i" first 0
        keys "$i" "$dir/second"
        restart "$i"
        same "$(get_secret "$i" a)" with-the-first
        same "$(get_secret "$i" old)" from-the-beginning
    done
    # A replica without the key, and one with another key of that name, say so and give nothing away.
    new_key third >"$dir/third"
    keys 3 "$dir/third"
    restart 3
    body=$(ask 3 GET "$secrets/a" || true)
    has "$body" '"code":500'
    has "$body" 'is encrypted with the key \"second\", which is not in this replica'
    has "$(ask 3 GET "$secrets" || true)" 'the key \"second\"'
    has "$(ask 3 GET "$secrets?watch=1&timeoutSeconds=2" || true)" 'the key \"second\"'
    new_key second >"$dir/wrong"
    keys 3 "$dir/wrong"
    restart 3
    body=$(ask 3 GET "$secrets/a" || true)
    has "$body" '"code":500'
    has "$body" 'cannot be decrypted with the key \"second\"'
    lacks "$body" '"data"'
    lacks "$(ask 3 GET "$secrets" || true)" '"items"'
    put 3 plain 1 # everything else is served
    same "$(get 3 plain)" 1
    end 3
    echo "no key" >"$dir/3/keys"
    sealing_server 3
    eventually 10 exited 3
    has "$(tail -n 1 "$dir/3/log")" 'keys: line 1: want NAME:KEY'
}
