# What passes through the API server to nodes and pods: the proxy subresources, and who may enter a pod. Sourced by tests.sh.

web_pod() { # web_pod NAME: answers on port 8080; /cgi-bin/show tells what it was asked, /cgi-bin/away leads elsewhere
    k apply -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: $1}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: pintle.local/web:1
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
    command:
    - sh
    - -c
    - |
      mkdir -p /w/cgi-bin
      printf '#!/bin/sh\nprintf "Content-Type: text/x-told\\\\r\\\\nX-Own: yes\\\\r\\\\n\\\\r\\\\n"\necho "\$REQUEST_METHOD \$QUERY_STRING \$HTTP_X_MINE \$HTTP_AUTHORIZATION"; cat\n' >/w/cgi-bin/show
      printf '#!/bin/sh\nprintf "Status: 302 Found\\\\r\\\\nLocation: /cgi-bin/show?moved\\\\r\\\\n\\\\r\\\\n"\n' >/w/cgi-bin/away
      chmod +x /w/cgi-bin/*
      echo hello >/w/index.html
      exec httpd -f -p 8080 -h /w
---
apiVersion: v1
kind: Service
metadata: {name: $1}
spec: {selector: {app: $1}, ports: [{name: web, port: 80, targetPort: http}]}
YAML
    k wait "pod/$1" --for=condition=Ready --timeout=60s
}
message() { jq -r '"\(.code) \(.reason) \(.message)"' "$work/body"; }
# told PATH WORDS: the Status that a GET is answered with
told() {
    api GET "$1" >/dev/null
    same "$(message)" "$2"
}

t_proxies() {
    local pods=/api/v1/namespaces/default/pods services=/api/v1/namespaces/default/services nodes=/api/v1/nodes ip
    web_pod proxied
    ip=$(k get pod proxied -o 'jsonpath={.status.podIP}')
    for path in $pods/proxied/proxy/ $pods/proxied:8080/proxy/index.html $pods/http:proxied:8080/proxy/; do
        same "$(api GET $path)" 200
        same "$(cat "$work/body")" hello
    done
    ready() { [ "$(api GET $services/proxied:web/proxy/)" = 200 ]; }
    eventually 20 ready
    same "$(api GET $services/proxied:80/proxy/)" 200
    same "$(cat "$work/body")" hello
    # Method, query, headers and body arrive; what says who we are does not. The answer's headers come back.
    same "$(api POST "$pods/proxied/proxy/cgi-bin/show?a=b&limit=x" -d body -H 'Content-Type: text/odd' -H 'Accept: text/odd' -H 'X-Mine: mine')" 200
    same "$(cat "$work/body")" "POST a=b&limit=x mine 
body"
    api GET "$pods/proxied/proxy/cgi-bin/show" -D "$work/head" >/dev/null
    has "$(cat "$work/head")" "text/x-told"
    has "$(cat "$work/head")" "x-own: yes"
    # Redirects lead through the proxy again, and a path without its slash gets one.
    api GET "$pods/proxied/proxy/cgi-bin/away" -D "$work/head" >/dev/null
    has "$(cat "$work/head")" "location: $pods/proxied/proxy/cgi-bin/show?moved"
    same "$(api GET "$pods/proxied/proxy?a=b" -D "$work/head")" 301
    has "$(cat "$work/head")" "location: $pods/proxied/proxy/?a=b"
    same "$(api HEAD $pods/proxied/proxy/ -I)" 200
    told $pods/proxied:9999/proxy/ "503 ServiceUnavailable error trying to reach service: dial tcp $ip:9999: connect: connection refused"
    told $pods/none/proxy/ '404 NotFound pods "none" not found'
    told $pods/a:b:c/proxy/ '400 BadRequest invalid pod request "a:b:c"'
    told $services/none/proxy/ '404 NotFound services "none" not found'
    told $services/proxied:81/proxy/ '503 ServiceUnavailable no service port 81 found for service "proxied"'
    told $services/proxied/proxy/ '503 ServiceUnavailable no endpoints available for service "proxied"'
    told $nodes/none/proxy/healthz '404 NotFound nodes "none" not found'
    same "$(api GET $nodes/node-1/proxy/healthz)" 200
    same "$(cat "$work/body")" ok
    same "$(api GET $nodes/node-1:10250/proxy/pods)" 200
    same "$(jq -r .kind "$work/body")" PodList
    # Nobody gets to this machine or its neighbours by writing a pod's address.
    k run local --image=x --overrides='{"spec":{"schedulerName":"nobody"}}'
    k patch pod local --subresource=status --type=merge -p '{"status":{"podIP":"127.0.0.1","podIPs":[{"ip":"127.0.0.1"}]}}'
    told $pods/local/proxy/ '400 BadRequest address not allowed'
    k delete pod local --force --grace-period=0
    k delete pod,service proxied
}

t_an_agent_that_is_not_there() {
    local node
    pod gone Never '    command: [sleep, "1000"]' | k apply -f -
    k wait pod/gone --for=condition=Ready --timeout=60s
    node=$(k get pod gone -o 'jsonpath={.spec.nodeName}')
    cluster node "${node#node-}" stop
    has "$(k logs gone 2>&1 || true)" 'Error from server: Get "https://'
    has "$(k logs gone 2>&1 || true)" ':10250: connect: connection refused'
    has "$(k exec gone -- true 2>&1 || true)" 'error dialing backend: dial tcp'
    told "/api/v1/nodes/$node/proxy/healthz" "503 ServiceUnavailable error trying to reach service: dial tcp $(k get node "$node" -o 'jsonpath={.status.addresses[0].address}'):10250: connect: connection refused"
    cluster node "${node#node-}" start
    eventually 20 k logs gone
    k delete pod gone
}

# Each way into a pod is a permission of its own; entering by WebSocket, which begins with a GET, takes two.
t_who_may_enter_pods() {
    local key=$work/enter.key token pods=/api/v1/namespaces/default/pods/entered
    pod entered Never '    command: [sleep, "1000"]' | k apply -f -
    k wait pod/entered --for=condition=Ready --timeout=60s
    k create serviceaccount enters
    k create role enters --verb=get --resource=pods/exec,pods/log,pods/proxy
    k create rolebinding enters --role=enters --serviceaccount=default:enters
    token=$(k create token enters)
    as() { # as METHOD PATH [OPTIONS]
        curl -s -m 5 -o "$work/body" -w '%{http_code}' --http1.1 --cacert "$CLUSTER_DIR/pki/ca.crt" -H "Authorization: Bearer $token" -X "$1" "${@:3}" \
            "https://$CLUSTER_NET.11:6443$2"
    }
    local socket=(-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
        -H 'Sec-WebSocket-Protocol: v4.channel.k8s.io')
    log_allowed() { [ "$(as GET $pods/log)" = 200 ]; }
    eventually 10 log_allowed
    same "$(as POST "$pods/exec?command=true&stdout=true")" 403
    has "$(cat "$work/body")" 'User \"system:serviceaccount:default:enters\" cannot create resource \"pods/exec\" in API group \"\" in the namespace \"default\"'
    same "$(as GET "$pods/exec?command=true&stdout=true" "${socket[@]}")" 403
    has "$(cat "$work/body")" 'cannot create resource \"pods/exec\"'
    same "$(as GET "$pods/attach?stdout=true" "${socket[@]}")" 403
    has "$(cat "$work/body")" 'cannot get resource \"pods/attach\"'
    same "$(as GET $pods/portforward)" 403
    same "$(as GET $pods/proxy/)" 503
    same "$(as DELETE $pods/proxy/)" 403
    has "$(cat "$work/body")" 'cannot delete resource \"pods/proxy\"'
    same "$(as GET /api/v1/nodes/node-1/proxy/healthz)" 403
    k patch role enters --type=json -p '[{"op":"add","path":"/rules/0/verbs/-","value":"create"}]'
    entered() { [ "$(as GET "$pods/exec?command=true&stdout=true" "${socket[@]}")" = 101 ]; }
    eventually 10 entered
    k delete pod/entered serviceaccount/enters role/enters rolebinding/enters
}

# What a container uses, as its node's agent tells it: it grows with what the container does.
t_stats_summary() {
    pod busy Never '    command: [sh, -c, "while true; do :; done"]' | k apply -f -
    k wait pod/busy --for=condition=Ready --timeout=60s
    local path
    path=/api/v1/nodes/$(k get pod busy -o 'jsonpath={.spec.nodeName}')/proxy/stats/summary
    used() { # used FIELD
        api GET "$path" >/dev/null
        jq -r '.pods[] | select(.podRef.name == "busy" and .podRef.namespace == "default") | .containers[] | select(.name == "main") | '"$1" "$work/body"
    }
    has_used() { [ "$(used .cpu.usageCoreNanoSeconds)" -gt "$1" ]; }
    eventually 20 has_used 100000000
    eventually 20 has_used $(($(used .cpu.usageCoreNanoSeconds) + 100000000))
    [ "$(used .memory.workingSetBytes)" -gt 10000 ]
    k delete pod busy
}
