# Images from a registry that asks who one is: Debian's docker-registry on each node's loopback. Sourced by tests.sh.

# registry NODE COMMAND...: in the network of a node
registry() { nsenter --net="/run/netns/$CLUSTER_NAME-node-$1" "${@:2}"; }
registry_start() { # registry_start NODE
    cat >"$work/registry-$1.yaml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:5000"}
auth: {htpasswd: {realm: test, path: $work/htpasswd}}
YAML
    registry "$1" docker-registry serve "$work/registry-$1.yaml" >"$work/registry-$1.log" 2>&1 &
    echo $! >"$work/registry-$1.pid"
    eventually 10 registry "$1" curl -sf -u reader:secret http://127.0.0.1:5000/v2/
}
push() { # push ARCHIVE NAME
    local dir=$work/push digest location
    mkdir -p "$dir"
    tar -C "$dir" -xf "$1"
    for digest in $(ls "$dir/blobs/sha256"); do
        location=$(registry 1 curl -sf -u reader:secret -X POST -o /dev/null -D - "http://127.0.0.1:5000/v2/$2/blobs/uploads/" | tr -d '\r' | awk 'tolower($1) == "location:" { print $2 }')
        registry 1 curl -sf -u reader:secret -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$dir/blobs/sha256/$digest" \
            "$location&digest=sha256:$digest"
    done
    digest=$(jq -r '.manifests[0].digest' "$dir/index.json")
    registry 1 curl -sf -u reader:secret -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' \
        --data-binary "@$dir/blobs/sha256/${digest#sha256:}" "http://127.0.0.1:5000/v2/$2/manifests/1"
}

t_image_pull_secrets() {
    command -v docker-registry >/dev/null || { echo "docker-registry is not installed"; return 1; }
    python3 -W ignore -c 'import crypt; print("reader:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)).replace("$2b$", "$2y$"))' >"$work/htpasswd"
    trap 'kill $(cat "$work"/registry-?.pid)' EXIT
    registry_start 1
    registry_start 2
    push "$CLUSTER_DIR/images/web.tar" team/web
    k create secret docker-registry wrong --docker-server=localhost:5000 --docker-username=reader --docker-password=wrong
    k create secret docker-registry right --docker-server=localhost:5000 --docker-username=reader --docker-password=secret
    # Nobody may have it, nor who has the wrong word; with the right one among others it comes.
    private() { # private NAME SECRETS
        k run "$1" --image=localhost:5000/team/web:1 --restart=Never --overrides='{"spec":{"terminationGracePeriodSeconds":1,"imagePullSecrets":['"$2"']}}' -- echo pulled
    }
    waits() { k get pod "$1" -o 'jsonpath={.status.containerStatuses[0].state.waiting.reason}' | grep -q 'ErrImagePull\|ImagePullBackOff'; }
    private without ''
    private wrong '{"name":"wrong"},{"name":"none"}'
    eventually 20 waits without
    eventually 20 waits wrong
    has "$(k logs without 2>&1 || true)" 'is waiting to start:'
    private right '{"name":"wrong"},{"name":"right"}'
    eventually 30 is_phase right Succeeded
    same "$(k logs right)" pulled
    # A ServiceAccount's secrets are its pods'.
    k patch serviceaccount default -p '{"imagePullSecrets":[{"name":"right"}]}'
    k run account --image=localhost:5000/team/web:1 --image-pull-policy=Always --restart=Never -- echo pulled
    eventually 30 is_phase account Succeeded
    k patch serviceaccount default --type=json -p '[{"op":"remove","path":"/imagePullSecrets"}]'
    k delete pod without wrong right account --now
    k delete secret wrong right
}

# The health of the API server is asked over HTTPS by a certificate that nobody could verify here.
t_probes_over_https() {
    pod secure Always '    command: [sleep, "1000"]
    readinessProbe: {httpGet: {scheme: HTTPS, host: '"$CLUSTER_NET"'.11, port: 6443, path: /livez}, periodSeconds: 1}' | k apply -f -
    k wait pod/secure --for=condition=Ready --timeout=30s
    pod insecure Always '    command: [sleep, "1000"]
    readinessProbe: {httpGet: {scheme: HTTPS, host: '"$CLUSTER_NET"'.11, port: 6443, path: /none}, periodSeconds: 1}' | k apply -f -
    unhealthy() { k describe pod insecure | grep -q 'HTTP probe failed with statuscode: 40[134]'; }
    eventually 30 unhealthy
    k delete pod secure insecure
}
