# What answers are made of: protobuf, compression, negotiation, discovery.

protobuf=application/vnd.kubernetes.protobuf

# head_of N PATH [CURL OPTIONS]: the answer's head in lower case, code first
head_of() {
    local i=$1 path=$2
    shift 2
    curl -sS -m 20 -o "$dir/body" -D - --cacert "$dir/pki/ca.crt" --cert "$dir/pki/admin.crt" --key "$dir/pki/admin.key" "$@" \
        "https://$(address "$i"):6443$path" | tr -d '\r' | tr '[:upper:]' '[:lower:]'
}
# fields FILE: what stands in an enveloped protobuf object: apiVersion, kind, and the numbers of the fields of its message
fields() {
    python3 - "$1" <<'PY'
import sys

def varint(b, i):
    v = s = 0
    while True:
        c = b[i]; i += 1; v |= (c & 127) << s; s += 7
        if c < 128: return v, i

def walk(b):
    i = 0
    while i < len(b):
        tag, i = varint(b, i)
        if tag & 7 == 0:
            v, i = varint(b, i)
        else:
            assert tag & 7 == 2, 'wire type %d' % (tag & 7)
            n, i = varint(b, i)
            v = b[i:i + n]; i += n
            assert len(v) == n, 'cut short'
        yield tag >> 3, v

data = open(sys.argv[1], 'rb').read()
assert data[:4] == b'k8s\0', data[:4]
outer = dict(walk(data[4:]))
meta = dict(walk(outer[1]))
print(meta[1].decode(), meta[2].decode(), *[f for f, _ in walk(outer[2])])
PY
}

t_protobuf_answers() {
    cluster 1 2 3
    local head i
    eventually 30 ask 1 GET /api/v1/namespaces/default/configmaps/kube-root-ca.crt
    for i in 1 2 3; do put 1 "m$i" "$i"; done
    # One object, from each server; a list; a page with its rest; an error; an empty list.
    for i in 1 2 3; do
        has "$(head_of "$i" /api/v1/namespaces/default/configmaps/m1 -H "Accept: $protobuf")" "content-type: $protobuf"
        same "$(fields "$dir/body")" "v1 ConfigMap 1 2"
    done
    ask 1 GET /api/v1/namespaces/default/configmaps -H "Accept: $protobuf" >"$dir/list"
    same "$(fields "$dir/list")" "v1 ConfigMapList 1 2 2 2 2"
    ask 2 GET "/api/v1/namespaces/default/configmaps?limit=2" -H "Accept: $protobuf" >"$dir/list"
    same "$(fields "$dir/list")" "v1 ConfigMapList 1 2 2"
    ask 2 GET "/api/v1/namespaces/default/configmaps?labelSelector=no" -H "Accept: $protobuf" >"$dir/list"
    same "$(fields "$dir/list")" "v1 ConfigMapList 1"
    head=$(head_of 1 /api/v1/namespaces/default/configmaps/none -H "Accept: $protobuf,application/json")
    has "$head" " 404"
    has "$head" "content-type: $protobuf"
    same "$(fields "$dir/body")" "v1 Status 1 2 3 4 5 6"
    # Other shapes.
    ask 1 GET /api/v1/configmaps -H "Accept: $protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1" >"$dir/list"
    has "$(fields "$dir/list")" "meta.k8s.io/v1 PartialObjectMetadataList 1 2 2"
    ask 1 GET /apis/autoscaling/v1/horizontalpodautoscalers -H "Accept: $protobuf" >"$dir/list"
    same "$(fields "$dir/list")" "autoscaling/v1 HorizontalPodAutoscalerList 1"
    # What was sent in protobuf comes back in protobuf, and is the object.
    ask 2 GET /api/v1/namespaces/default/configmaps/m2 -H "Accept: $protobuf" >"$dir/m2"
    head=$(head_of 3 "/api/v1/namespaces/default/configmaps/m2" -X PUT -H "Content-Type: $protobuf" -H "Accept: $protobuf" \
        --data-binary @"$dir/m2")
    has "$head" " 200"
    same "$(fields "$dir/body")" "v1 ConfigMap 1 2"
    same "$(get 1 m2)" 2
    # Damaged: an error, and the server lives on.
    head -c 60 "$dir/m2" >"$dir/short"
    has "$(head_of 1 /api/v1/namespaces/default/configmaps/m2 -X PUT -H "Content-Type: $protobuf" --data-binary @"$dir/short")" " 400"
    ready 1
}

t_protobuf_watch() {
    cluster 1
    local members=1
    eventually 30 ask 1 GET /api/v1/namespaces/default/configmaps/kube-root-ca.crt
    put 1 a 1
    (ask 1 GET "/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=4&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true" \
        -H "Accept: $protobuf;stream=watch,application/json;stream=watch" -D "$dir/head" >"$dir/events") &
    local watching=$!
    sleep 1
    put 1 a 2
    put 1 b 1
    ask 1 DELETE /api/v1/namespaces/default/configmaps/a >/dev/null
    wait $watching
    has "$(tr -d '\r' <"$dir/head")" "content-type: $protobuf;stream=watch"
    cat >"$dir/frames.py" <<'PY'
import sys
data = open(sys.argv[1], 'rb').read()
out = []
while data:
    n = int.from_bytes(data[:4], 'big')
    frame, data = data[4:4 + n], data[4 + n:]
    assert len(frame) == n and frame[0] == 0x0a, 'a broken frame'
    assert b'k8s\0' in frame
    out.append(frame[2:2 + frame[1]].decode())
print(*out)
PY
    same "$(python3 "$dir/frames.py" "$dir/events" | sed 's/^\(ADDED \)*/ADDED /')" "ADDED BOOKMARK MODIFIED ADDED DELETED"
    # From a revision that is gone: an ERROR event that holds a Status.
    has "$(head_of 1 "/api/v1/configmaps?watch=true" -H "Accept: application/yaml")" " 406"
    has "$(cat "$dir/body")" "application/json;stream=watch, $protobuf;stream=watch"
}

t_negotiation() {
    cluster 1
    local members=1 head
    has "$(head_of 1 /api/v1/pods -H 'Accept: application/cbor')" " 406"
    same "$(jq -r '.reason + " " + .message' "$dir/body")" \
        "NotAcceptable only the following media types are accepted: application/json, application/yaml, $protobuf"
    has "$(head_of 1 /api/v1/pods -H 'Accept: text/html, application/yaml;q=0.5, application/json;q=0.4')" "content-type: application/yaml"
    has "$(head_of 1 /api/v1/namespaces/default/configmaps -H 'Content-Type: application/cbor' -d x)" " 415"
    same "$(jq -r '.reason + " " + .message' "$dir/body")" "UnsupportedMediaType the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, $protobuf"
    has "$(head_of 1 /version -H 'Accept: text/html')" " 200"
}

t_large_answers_are_compressed() {
    cluster 1
    local members=1 i large
    large=$(head -c 60000 /dev/zero | tr '\0' x)
    for i in 1 2 3 4; do put 1 "large-$i" "$large"; done
    local path=/api/v1/configmaps
    path="$path?resourceVersionMatch=Exact&resourceVersion=$(ask 1 GET $path | jq -r .metadata.resourceVersion)"
    for type in application/json $protobuf application/yaml; do
        lacks "$(head_of 1 "$path" -H "Accept: $type")" "content-encoding"
        cp "$dir/body" "$dir/plain"
        has "$(head_of 1 "$path" -H "Accept: $type" -H 'Accept-Encoding: gzip')" "content-encoding: gzip"
        [ "$(stat -c %s "$dir/body")" -lt 20000 ]
        gunzip <"$dir/body" >"$dir/unpacked"
        cmp "$dir/plain" "$dir/unpacked"
    done
    # Small ones, and watches, are not.
    lacks "$(head_of 1 /api/v1/namespaces/default/configmaps/large-1 -H 'Accept-Encoding: gzip')" "content-encoding"
    lacks "$(head_of 1 '/api/v1/configmaps?limit=1' -H 'Accept-Encoding: gzip')" "content-encoding"
    lacks "$(head_of 1 '/api/v1/configmaps?watch=1&timeoutSeconds=1' -H 'Accept-Encoding: gzip')" "content-encoding"
}

# Who asks by curl or a browser, or says ?pretty, gets lines and indentation; errors too, also from another server.
t_answers_for_people() {
    cluster 1 2 3
    local i
    laid_out() { python3 -c 'import json, sys; s = sys.stdin.read(); sys.exit(s != json.dumps(json.loads(s), indent=2, ensure_ascii=False))'; }
    for i in 1 2 3; do
        ask $i POST /api/v1/namespaces -A curl/8.0 -H 'Content-Type: application/json' \
            -d '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"people-'$i'","annotations":{"a":"{\"b\":[1, 2]}"}}}' | laid_out
        ask $i GET "/api/v1/namespaces/people-$i" -A Wget/1 | laid_out
        ask $i GET "/apis/rbac.authorization.k8s.io/v1/clusterroles?pretty=true" | laid_out
        ask $i GET /apis/rbac.authorization.k8s.io/v1/clusterroles -A Mozilla/5.0 -H 'Accept-Encoding: gzip' | gunzip | laid_out
        { ask $i GET /api/v1/namespaces/nobody -A curl/8.0 || true; } | laid_out
        fails laid_out < <(ask $i GET "/api/v1/namespaces/people-$i?pretty=0" -A curl/8.0)
        fails laid_out < <(ask $i GET "/api/v1/namespaces/people-$i")
        ask $i GET "/api/v1/namespaces/people-$i?pretty=1" -H 'Accept: application/yaml' | grep -q '^kind: Namespace$'
        same "$(ask $i GET "/api/v1/namespaces?watch=1&timeoutSeconds=1" -A curl/8.0 | jq -c . | wc -l)" \
            "$(ask $i GET "/api/v1/namespaces?watch=1&timeoutSeconds=1" -A curl/8.0 | wc -l)"
    done
}

t_discovery() {
    cluster 1
    local members=1 head tag params='g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
    for path in /api /apis; do
        head=$(head_of 1 $path -H "Accept: application/json;$params,application/json")
        has "$head" "content-type: application/json;g=apidiscovery.k8s.io;v=v2;as=apigroupdiscoverylist"
        tag=$(sed -n 's/^etag: //p' <<<"$head" | tr '[:lower:]' '[:upper:]')
        has "$(head_of 1 $path -H "Accept: application/json;$params" -H "If-None-Match: $tag")" " 304"
        has "$(head_of 1 $path -H "Accept: application/json;$params" -H 'If-None-Match: "other"')" " 200"
        has "$(head_of 1 $path -H "Accept: $protobuf;$params")" "content-type: $protobuf;g=apidiscovery"
        has "$(fields "$dir/body")" "apidiscovery.k8s.io/v2 APIGroupDiscoveryList 1 2"
        # An older form that is no longer served.
        has "$(head_of 1 $path -H 'Accept: application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList')" " 406"
    done
    ask 1 GET /apis/apps/v1 -H "Accept: $protobuf" >"$dir/list"
    has "$(fields "$dir/list")" "v1 APIResourceList 1 2 2"
    # Every resource in both forms alike, with all that belongs to it.
    ask 1 GET /apis -H "Accept: application/json;$params" >"$dir/aggregated"
    ask 1 GET /apis/apps/v1 >"$dir/legacy"
    same "$(jq -c '[.resources[] | select(.name | contains("/") | not) | [.name, .singularName, .kind, .namespaced, .verbs, .shortNames, .categories]] | sort' "$dir/legacy")" \
        "$(jq -c '[.items[] | select(.metadata.name == "apps").versions[0].resources[] | [.resource, .singularResource, .responseKind.kind, .scope == "Namespaced", .verbs, .shortNames, .categories]] | sort' "$dir/aggregated")"
    # The hash of the version a kind is stored in.
    python3 - "$dir/legacy" <<'PY'
import base64, hashlib, json, sys
doc = json.load(open(sys.argv[1]))
for r in doc['resources']:
    if '/' not in r['name']:
        text = doc['groupVersion'] + '/' + r['kind']
        want = base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()
        assert r['storageVersionHash'] == want, (r, want)
PY
}

# explain_all KUBECTL N: every kind, with all its fields
explain_all() {
    local kubectl=$1 resource version out
    while read -r resource version; do
        out=$("$kubectl" --kubeconfig "$(config_of "$2")" --cache-dir "$dir/cache" explain "$resource" --api-version="$version" --recursive) ||
            { echo "$kubectl explain $resource: $out"; return 1; }
        has "$out" "metadata"
        has "$out" "DESCRIPTION:"
    done <"$dir/kinds"
}

t_openapi() {
    cluster 1
    local members=1 head tag version url
    # Version 2: both forms, unchanged, compressed.
    for type in application/json application/com.github.proto-openapi.spec.v2@v1.0+protobuf; do
        head=$(head_of 1 /openapi/v2 -H "Accept: $type")
        has "$head" " 200"
        has "$head" "content-type: ${type/@/.}"
        tag=$(sed -n 's/^etag: //p' <<<"$head" | tr '[:lower:]' '[:upper:]')
        cp "$dir/body" "$dir/plain"
        has "$(head_of 1 /openapi/v2 -H "Accept: $type" -H "If-None-Match: $tag")" " 304"
        has "$(head_of 1 /openapi/v2 -H "Accept: $type" -H 'Accept-Encoding: gzip')" "content-encoding: gzip"
        gunzip <"$dir/body" | cmp - "$dir/plain"
    done
    has "$(head_of 1 /openapi/v2 -H "Accept: text/html")" " 406"
    # Version 3: an index of addresses that never change; others lead there.
    ask 1 GET /openapi/v3 >"$dir/index"
    [ "$(jq '.paths | length' "$dir/index")" -gt 40 ]
    for url in $(jq -r '.paths[].serverRelativeURL' "$dir/index"); do
        head=$(head_of 1 "$url")
        has "$head" " 200"
        has "$head" "cache-control: public, immutable"
        has "$head" "expires: "
        jq -e '.openapi == "3.0.0"' "$dir/body" >/dev/null
    done
    url=$(jq -r '.paths["apis/apps/v1"].serverRelativeURL' "$dir/index")
    tag=$(head_of 1 "$url" | sed -n 's/^etag: //p' | tr '[:lower:]' '[:upper:]')
    has "$(head_of 1 "$url" -H "If-None-Match: $tag")" " 304"
    head=$(head_of 1 '/openapi/v3/apis/apps/v1?hash=0123')
    has "$head" " 301"
    has "$head" "location: ${url%%\?*}"
    has "$(head_of 1 /openapi/v3/apis/none/v1)" " 404"
    # People's own tool, in three versions: all kinds explained, wrong fields refused.
    ask 1 GET /apis/apps/v1 >/dev/null
    {
        ask 1 GET /api/v1 | jq -r '.resources[] | select(.name | contains("/") | not) | select(.verbs | index("list")) | .name + " v1"'
        for version in $(ask 1 GET /apis | jq -r '.groups[].versions[].groupVersion'); do
            ask 1 GET "/apis/$version" | jq -r --arg v "$version" '.resources[] | select(.name | contains("/") | not) | select(.verbs | index("list")) | .name + " " + $v'
        done
    } >"$dir/kinds"
    [ "$(wc -l <"$dir/kinds")" -gt 55 ]
    cat >"$dir/wrong.yaml" <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata: {name: wrong}
spec:
  replicaz: 1
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i, portz: []}]}}
YAML
    sed 's/replicaz: 1/replicas: 0/; s/, portz: \[\]//' "$dir/wrong.yaml" >"$dir/right.yaml"
    for version in 1.20 1.32 1.36; do
        explain_all "$tools/kubectl-$version" 1
        local kubectl="$tools/kubectl-$version --kubeconfig $(config_of 1) --cache-dir $dir/cache"
        if $kubectl apply --validate=true -f "$dir/wrong.yaml" >"$dir/out" 2>&1; then cat "$dir/out"; return 1; fi
        has "$(cat "$dir/out")" replicaz
        $kubectl apply --validate=true -f "$dir/right.yaml"
        $kubectl apply --dry-run=server -f "$dir/right.yaml"
        $kubectl delete -f "$dir/right.yaml"
    done
}

# What is kept of encodings is less than this list: its second pass makes each item again.
t_protobuf_list_larger_than_what_is_kept() {
    cluster 1
    local members=1 i
    for i in $(seq 44); do
        jq -nc --arg n "big-$i" --arg v "$(head -c 90000 /dev/urandom | base64 -w 0 | head -c 100000)" \
            '{apiVersion: "v1", kind: "ConfigMap", metadata: {name: $n, labels: {big: "y"}}, data: {a: ($v*8)}}' >"$dir/one"
        ask 1 POST /api/v1/namespaces/default/configmaps -H 'Content-Type: application/json' --data-binary @"$dir/one" >/dev/null
    done
    for i in 1 2; do
        ask 1 GET "/api/v1/configmaps?labelSelector=big" -H "Accept: $protobuf" >"$dir/list"
        [ "$(stat -c %s "$dir/list")" -gt $((33 << 20)) ]
        same "$(fields "$dir/list" | tr ' ' '\n' | grep -c '^2$')" 44
        ask 1 GET "/api/v1/configmaps?labelSelector=big" -H "Accept: $protobuf" -H 'Accept-Encoding: gzip' | gunzip >"$dir/again"
        same "$(fields "$dir/again" | tr ' ' '\n' | grep -c '^2$')" 44
    done
}
