# The tests; sourced by run. Each leaves nothing behind that another could trip over.

# These run again with the newest kubectl.
both_versions="get_forms describe_shows_events apply_is_idempotent create_kinds patches rollout cascades logs_and_exec drain wait_and_discovery"

manifest() { # manifest NAME REPLICAS [SHELL COMMAND]
    cat <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: $1, labels: {app: $1}}
spec:
  replicas: $2
  selector: {matchLabels: {app: $1}}
  template:
    metadata: {labels: {app: $1}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: pintle.local/web:1
        command: ["sh", "-c", "${3:-echo started; exec sleep 1000}"]
YAML
}

pod() { # pod NAME RESTART_POLICY YAML_OF_CONTAINER (indented by 4)
    printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: %s, labels: {t: %s}}\nspec:\n  terminationGracePeriodSeconds: 1\n  restartPolicy: %s\n' "$1" "$1" "$2"
    printf '  containers:\n  - name: main\n    image: pintle.local/web:1\n%s\n' "$3"
}

fails() { ! "$@" || { echo "should have failed: $*"; return 1; }; }
gone() { ! k get "$@" >/dev/null 2>&1; }
phase() { k get pod "$1" -o 'jsonpath={.status.phase}'; }
is_phase() { [ "$(phase "$1")" = "$2" ]; }

t_sample_answers() {
    k apply -f "$root/docs/sample/web.yaml"
    k rollout status deployment/web --timeout=60s
    local port ip
    port=$(k get service web -o 'jsonpath={.spec.ports[0].nodePort}')
    ip=$(k get service web -o 'jsonpath={.spec.clusterIP}')
    eventually 10 curl -sf -m 2 "http://$CLUSTER_NET.21:$port/"
    eventually 10 curl -sf -m 2 "http://$CLUSTER_NET.22:$port/"
    for ns in 1 2; do
        has "$(nsenter --net="/run/netns/$CLUSTER_NAME-node-$ns" curl -sf -m 3 "http://$ip/")" hello
    done
    # Every pod gets its share, on both nodes.
    local seen
    seen=$(for _ in $(seq 40); do nsenter --net=/run/netns/$CLUSTER_NAME-node-1 curl -sf -m 3 "http://$ip/"; done | sort -u | wc -l)
    same "$seen" 3
    has "$(k get endpoints web -o yaml)" targetRef
    k delete -f "$root/docs/sample/web.yaml"
    eventually 20 gone endpoints web
}

t_get_forms() {
    manifest forms 2 | k apply -f -
    k rollout status deployment/forms --timeout=60s
    has "$(k get deploy forms)" "2/2"
    has "$(k get deploy forms -o wide)" "pintle.local/web:1"
    same "$(k get deploy forms -o json | jq -r .kind)" Deployment
    has "$(k get deploy forms -o yaml)" "kind: Deployment"
    same "$(k get deploy forms -o name)" deployment.apps/forms
    has "$(k get pods -A)" forms-
    same "$(k get pods -l app=forms --no-headers | wc -l)" 2
    same "$(k get pods -l 'app in (forms),app!=x' --no-headers | wc -l)" 2
    same "$(k get pods -l app=none --no-headers 2>/dev/null | wc -l)" 0
    local name
    name=$(k get pods -l app=forms -o 'jsonpath={.items[0].metadata.name}')
    same "$(k get pods --field-selector "metadata.name=$name" --no-headers | wc -l)" 1
    same "$(k get pods --field-selector status.phase=Running -l app=forms --no-headers | wc -l)" 2
    has "$(timeout 3 "$kubectl" --kubeconfig "$CLUSTER_DIR/admin.kubeconfig" get pods -l app=forms -w 2>&1)" "$name"
    has "$(k get all)" deployment.apps/forms
    for i in 1 2 3; do has "$(k --context "pintle-$i" get deploy forms)" "2/2"; done
    k delete deploy forms
}

t_describe_shows_events() {
    manifest told 1 | k apply -f -
    k rollout status deployment/told --timeout=60s
    has "$(k describe deploy told)" "Scaled up replica set"
    local text
    text=$(k describe pod -l app=told)
    has "$text" "Successfully assigned"
    has "$text" "Started container"
    has "$(k describe node node-1)" "KubeletReady"
    has "$(k describe svc kubernetes)" 10.96.0.1
    k delete deploy told
}

t_apply_is_idempotent() {
    manifest again 1 | k apply -f -
    has "$(manifest again 1 | k apply -f -)" unchanged
    local before after
    before=$(k get deploy again -o 'jsonpath={.metadata.generation}')
    manifest again 2 | k apply -f -
    after=$(k get deploy again -o 'jsonpath={.metadata.generation}')
    same "$after" $((before + 1))
    has "$(manifest again 3 | k diff -f - || true)" "replicas: 3"
    manifest again 2 | k apply --server-side --force-conflicts -f -
    manifest again 2 | k replace -f -
    has "$(manifest again 5 | k apply --dry-run=server -f -)" "server dry run"
    same "$(k get deploy again -o 'jsonpath={.spec.replicas}')" 2
    k delete deploy again
}

t_create_kinds() {
    k create namespace kinds
    k -n kinds create configmap c --from-literal=a=b
    k -n kinds create secret generic s --from-literal=p=q
    k -n kinds create deployment d --image=pintle.local/web:1 --replicas=0
    k -n kinds create service clusterip svc --tcp=80:8080
    k -n kinds create serviceaccount sa
    k -n kinds create role r --verb=get --resource=pods
    k -n kinds create rolebinding rb --role=r --serviceaccount=kinds:sa
    k -n kinds create quota q --hard=pods=5
    k -n kinds create ingress i --rule=example.com/=svc:80
    k -n kinds create job j --image=pintle.local/web:1 -- true
    k -n kinds create cronjob cj --image=pintle.local/web:1 --schedule='*/5 * * * *' -- true
    same "$(k -n kinds get secret s -o 'jsonpath={.data.p}' | base64 -d)" q
    has "$(k -n kinds create token sa)" .
    same "$(k auth can-i get pods -n kinds --as=system:serviceaccount:kinds:sa)" yes
    same "$(k auth can-i delete pods -n kinds --as=system:serviceaccount:kinds:sa || true)" no
    k delete namespace kinds --timeout=30s
    gone namespace kinds
}

t_patches() {
    manifest patched 1 | k apply -f -
    k patch deploy patched -p '{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"A","value":"1"}]}]}}}}'
    same "$(k get deploy patched -o 'jsonpath={.spec.template.spec.containers[0].image}')" pintle.local/web:1
    k patch deploy patched --type=merge -p '{"metadata":{"annotations":{"x":"y"}}}'
    k patch deploy patched --type=json -p '[{"op":"replace","path":"/spec/replicas","value":0}]'
    same "$(k get deploy patched -o 'jsonpath={.spec.replicas}')" 0
    k label deploy patched tier=web
    k label deploy patched tier-
    k annotate deploy patched note=hello
    same "$(k get deploy patched -o 'jsonpath={.metadata.annotations.note}')" hello
    EDITOR='sed -i s/note:.hello/note:\ edited/' k edit deploy patched
    same "$(k get deploy patched -o 'jsonpath={.metadata.annotations.note}')" edited
    k set env deploy/patched B=2
    has "$(k get deploy patched -o yaml)" "name: B"
    k delete deploy patched
}

t_rollout() {
    manifest roll 3 | k apply -f -
    k rollout status deployment/roll --timeout=60s
    k scale deploy roll --replicas=4
    k rollout status deployment/roll --timeout=60s
    k set image deploy/roll main=pintle.local/web:1
    k patch deploy roll -p '{"spec":{"template":{"metadata":{"annotations":{"v":"2"}}}}}'
    k rollout status deployment/roll --timeout=60s
    same "$(k rollout history deploy/roll | grep -c '^[12] ')" 2
    same "$(k get rs -l app=roll --no-headers | wc -l)" 2
    k rollout undo deploy/roll
    k rollout status deployment/roll --timeout=60s
    same "$(k get deploy roll -o 'jsonpath={.spec.template.metadata.annotations.v}')" ""
    has "$(k rollout history deploy/roll)" 3
    k rollout restart deploy/roll
    k rollout status deployment/roll --timeout=60s
    same "$(k get pods -l app=roll --field-selector status.phase=Running --no-headers | grep -vc Terminating)" 4
    k rollout pause deploy/roll
    k rollout resume deploy/roll
    k delete deploy roll
}

t_cascades() {
    manifest fam 2 | k apply -f -
    k rollout status deployment/fam --timeout=60s
    k delete deploy fam --cascade=orphan
    same "$(k get rs -l app=fam --no-headers | wc -l)" 1
    sleep 1
    same "$(k get pods -l app=fam --no-headers | wc -l)" 2
    k delete rs -l app=fam --cascade=background
    eventually 20 sh -c "[ -z \"\$($kubectl --kubeconfig $CLUSTER_DIR/admin.kubeconfig get pods -l app=fam -o name)\" ]"
    manifest fam 2 | k apply -f -
    k rollout status deployment/fam --timeout=60s
    k delete deploy fam --cascade=foreground --timeout=30s
    same "$(k get rs,pods -l app=fam -o name | wc -l)" 0
}

t_logs_and_exec() {
    manifest talk 1 'echo one; echo two >&2; sleep 2; echo three; exec sleep 1000' | k apply -f -
    k rollout status deployment/talk --timeout=60s
    has "$(k logs deploy/talk)" one
    has "$(timeout 5 "$kubectl" --kubeconfig "$CLUSTER_DIR/admin.kubeconfig" logs -f deploy/talk 2>&1 || true)" three
    same "$(k logs deploy/talk --tail=1)" three
    same "$(k exec deploy/talk -- echo hello)" hello
    same "$(echo piped | k exec -i deploy/talk -- cat)" piped
    same "$(k exec deploy/talk -- sh -c 'exit 7' >/dev/null 2>&1; echo $?)" 7
    # With a terminal: the far side sees one.
    has "$(script -qec "$kubectl --kubeconfig $CLUSTER_DIR/admin.kubeconfig exec -it deploy/talk -- sh -c 'test -t 0 && echo a-terminal'" /dev/null </dev/null)" a-terminal
    for i in 1 2 3; do same "$(k --context "pintle-$i" exec deploy/talk -- echo "by $i")" "by $i"; done
    k delete deploy talk
}

t_drain() {
    manifest moved 4 | k apply -f -
    k rollout status deployment/moved --timeout=60s
    k cordon node-1
    has "$(k get node node-1)" SchedulingDisabled
    k drain node-1 --ignore-daemonsets --delete-emptydir-data --timeout=60s
    eventually 40 sh -c "[ \$($kubectl --kubeconfig $CLUSTER_DIR/admin.kubeconfig get pods -l app=moved -o wide --no-headers | grep -c 'Running.*node-2') = 4 ]"
    k uncordon node-1
    lacks "$(k get node node-1)" SchedulingDisabled
    k delete deploy moved
}

t_budgets_limit_evictions() {
    manifest kept 2 | k apply -f -
    k create poddisruptionbudget kept --selector=app=kept --min-available=2
    k rollout status deployment/kept --timeout=60s
    eventually 10 sh -c "[ \$($kubectl --kubeconfig $CLUSTER_DIR/admin.kubeconfig get pdb kept -o 'jsonpath={.status.currentHealthy}') = 2 ]"
    local pod
    pod=$(k get pods -l app=kept -o 'jsonpath={.items[0].metadata.name}')
    local evict='{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"'$pod'","namespace":"default"}}'
    same "$(api POST "/api/v1/namespaces/default/pods/$pod/eviction" -H 'Content-Type: application/json' -d "$evict")" 429
    k scale deploy kept --replicas=3
    k rollout status deployment/kept --timeout=60s
    eventually 10 sh -c "[ \$($kubectl --kubeconfig $CLUSTER_DIR/admin.kubeconfig get pdb kept -o 'jsonpath={.status.disruptionsAllowed}') = 1 ]"
    same "$(api POST "/api/v1/namespaces/default/pods/$pod/eviction" -H 'Content-Type: application/json' -d "$evict")" 201
    k delete deploy kept
    k delete pdb kept
}

t_wait_and_discovery() {
    manifest later 1 | k apply -f -
    k wait deploy/later --for=condition=Available --timeout=60s
    k wait pod -l app=later --for=condition=Ready --timeout=60s
    k wait pod -l app=later --for=jsonpath='{.status.phase}'=Running --timeout=10s
    has "$(k api-resources)" deployments
    has "$(k api-versions)" apps/v1
    has "$(k version)" v1.36
    has "$(k explain deployment.spec)" strategy
    k delete deploy later
    k wait deploy/later --for=delete --timeout=20s
}

t_environment_and_volumes() {
    k create configmap settings --from-literal=color=blue --from-literal=size=big
    k create secret generic keys --from-literal=token=secret
    {
        pod env Never '    command: ["sh", "-c", "echo $COLOR $TOKEN $NAME $(NAME) $PRE_size; cat /cfg/color /sec/token /proj/ns; ls /var/run/secrets/kubernetes.io/serviceaccount; echo kept > /data/f; cat /data/f; id -u"]
    securityContext: {runAsUser: 1234}
    env:
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
    - {name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    envFrom:
    - {prefix: PRE_, configMapRef: {name: settings}}
    volumeMounts:
    - {name: cfg, mountPath: /cfg}
    - {name: sec, mountPath: /sec}
    - {name: proj, mountPath: /proj}
    - {name: data, mountPath: /data}'
        cat <<YAML
  volumes:
  - {name: cfg, configMap: {name: settings}}
  - {name: sec, secret: {secretName: keys}}
  - {name: data, emptyDir: {}}
  - name: proj
    projected: {sources: [{downwardAPI: {items: [{path: ns, fieldRef: {fieldPath: metadata.namespace}}]}}]}
YAML
    } | k apply -f -
    eventually 30 is_phase env Succeeded
    local text
    text=$(k logs env)
    has "$text" "blue secret env env big"
    has "$text" kept
    has "$text" ca.crt
    has "$text" 1234
    k delete pod env
    k delete configmap settings
    k delete secret keys
}

t_init_containers_run_in_order() {
    cat <<YAML | k apply -f -
apiVersion: v1
kind: Pod
metadata: {name: steps}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  volumes: [{name: d, emptyDir: {}}]
  initContainers:
  - {name: a, image: "pintle.local/web:1", command: [sh, -c, "echo a >> /d/f"], volumeMounts: [{name: d, mountPath: /d}]}
  - {name: b, image: "pintle.local/web:1", command: [sh, -c, "echo b >> /d/f"], volumeMounts: [{name: d, mountPath: /d}]}
  containers:
  - {name: c, image: "pintle.local/web:1", command: [sh, -c, "cat /d/f | tr -d '\\\\n'"], volumeMounts: [{name: d, mountPath: /d}]}
YAML
    eventually 30 is_phase steps Succeeded
    same "$(k logs steps)" ab
    same "$(k get pod steps -o 'jsonpath={.status.initContainerStatuses[*].state.terminated.exitCode}')" "0 0"
    k delete pod steps
}

t_exit_codes_restarts_and_oom() {
    pod fails Never '    command: [sh, -c, "echo last words > /dev/termination-log; exit 3"]' | k apply -f -
    pod loops Always '    command: [sh, -c, "exit 1"]' | k apply -f -
    pod eats Never '    command: [sh, -c, "x=a; while true; do x=$x$x; done"]
    resources: {limits: {memory: 20Mi}}' | k apply -f -
    pod ends OnFailure '    command: ["true"]' | k apply -f -
    eventually 30 is_phase fails Failed
    same "$(k get pod fails -o 'jsonpath={.status.containerStatuses[0].state.terminated.exitCode}')" 3
    has "$(k get pod fails -o 'jsonpath={.status.containerStatuses[0].state.terminated.message}')" "last words"
    eventually 40 sh -c "$kubectl --kubeconfig $CLUSTER_DIR/admin.kubeconfig get pod loops | grep -q CrashLoopBackOff"
    [ "$(k get pod loops -o 'jsonpath={.status.containerStatuses[0].restartCount}')" -ge 1 ]
    eventually 40 is_phase eats Failed
    same "$(k get pod eats -o 'jsonpath={.status.containerStatuses[0].state.terminated.reason}')" OOMKilled
    eventually 20 is_phase ends Succeeded
    k delete pod fails loops eats ends
}

t_probes_and_hooks() {
    pod probed Always '    command: [sh, -c, "trap \"exit 0\" TERM; touch /tmp/live; sleep 3; touch /tmp/ready; while true; do sleep 0.1; done"]
    readinessProbe: {exec: {command: [test, -f, /tmp/ready]}, periodSeconds: 1}
    livenessProbe: {exec: {command: [test, -f, /tmp/live]}, periodSeconds: 1, failureThreshold: 2}
    lifecycle: {postStart: {exec: {command: [touch, /tmp/hooked]}}}' | k apply -f -
    eventually 20 is_phase probed Running
    same "$(k get pod probed -o 'jsonpath={.status.containerStatuses[0].ready}')" false
    k wait pod/probed --for=condition=Ready --timeout=20s
    k exec probed -- test -f /tmp/hooked
    k exec probed -- rm /tmp/live
    eventually 20 sh -c "[ \$($kubectl --kubeconfig $CLUSTER_DIR/admin.kubeconfig get pod probed -o 'jsonpath={.status.containerStatuses[0].restartCount}') -ge 1 ]"
    has "$(k describe pod probed)" Unhealthy
    k delete pod probed
}

t_bad_requests_get_kubernetes_answers() {
    local json=(-H 'Content-Type: application/json')
    same "$(api POST /api/v1/namespaces/default/configmaps "${json[@]}" -d '{')" 400
    same "$(api POST /api/v1/namespaces/default/configmaps "${json[@]}" -d 'kind: ConfigMap')" 400
    same "$(api POST /api/v1/namespaces/default/configmaps "${json[@]}" -d '{"metadata":{"name":5}}')" 400
    same "$(api POST /api/v1/namespaces/default/configmaps "${json[@]}" -d '{"kind":"Pod","metadata":{"name":"x"}}')" 400
    same "$(api POST /api/v1/namespaces/default/configmaps "${json[@]}" -d '{"metadata":{"name":"Bad_Name"}}')" 422
    same "$(jq -r .details.causes[0].field "$work/body")" metadata.name
    same "$(api POST /api/v1/namespaces/default/configmaps "${json[@]}" -d "{\"metadata\":{\"name\":\"$(printf 'a%.0s' $(seq 300))\"}}")" 422
    same "$(api POST /api/v1/namespaces/nowhere/configmaps "${json[@]}" -d '{"metadata":{"name":"x"}}')" 404
    same "$(api POST /api/v1/namespaces/default/configmaps -H 'Content-Type: text/html' -d '{}')" 415
    head -c 4000000 /dev/zero | tr '\0' 'a' >"$work/big"
    same "$(api POST /api/v1/namespaces/default/configmaps "${json[@]}" --data-binary "@$work/big")" 413
    printf '%.0s{"a":' $(seq 500) >"$work/deep"
    same "$(api POST /api/v1/namespaces/default/configmaps "${json[@]}" --data-binary "@$work/deep")" 400
    same "$(api GET /api/v1/nothings)" 404
    same "$(api GET /api/v1/watch)" 404
    same "$(api GET /apis/apps/v1/watch/)" 404
    same "$(api GET /apis/none.example.com/v1)" 404
    same "$(api PUT /api/v1/namespaces/default/configmaps "${json[@]}" -d '{}')" 405
    same "$(api GET /api/v1/pods -H 'Accept: image/png')" 406
    same "$(api GET '/api/v1/pods?labelSelector=a==b==c')" 400
    same "$(api GET '/api/v1/pods?fieldSelector=spec.nothing=x')" 400
    same "$(api GET '/api/v1/pods?limit=1&continue=garbage')" 400
    same "$(api GET '/api/v1/pods?resourceVersion=abc')" 400
    same "$(api GET '/api/v1/pods?resourceVersion=999999999')" 504
    same "$(api POST '/api/v1/namespaces/default/configmaps?dryRun=Some' "${json[@]}" -d '{"metadata":{"name":"x"}}')" 422
    same "$(api POST '/api/v1/namespaces/default/configmaps?fieldValidation=Strict' "${json[@]}" -d '{"metadata":{"name":"x"},"dat":{}}')" 400
    same "$(api POST /api/v1/namespaces/default/configmaps "${json[@]}" -d '{"metadata":{"name":"once"}}')" 201
    same "$(api POST /api/v1/namespaces/default/configmaps "${json[@]}" -d '{"metadata":{"name":"once"}}')" 409
    same "$(jq -r .reason "$work/body")" AlreadyExists
    same "$(api PUT /api/v1/namespaces/default/configmaps/once "${json[@]}" -d '{"metadata":{"name":"once","resourceVersion":"1"}}')" 409
    same "$(jq -r .reason "$work/body")" Conflict
    same "$(api PATCH /api/v1/namespaces/default/configmaps/once -H 'Content-Type: application/json-patch+json' -d '[{"op":"test","path":"/metadata/name","value":"x"}]')" 422
    same "$(api DELETE /api/v1/namespaces/default/configmaps/once)" 200
    same "$(api DELETE /api/v1/namespaces/default/configmaps/once)" 404
    same "$(api DELETE /api/v1/namespaces/kube-system)" 403
    same "$(api GET /healthz)" 200
}

t_paging_at_one_revision() {
    local i rv next
    for i in $(seq 7); do api POST /api/v1/namespaces/default/configmaps -H 'Content-Type: application/json' -d "{\"metadata\":{\"name\":\"page-$i\",\"labels\":{\"p\":\"y\"}}}" >/dev/null; done
    same "$(api GET '/api/v1/namespaces/default/configmaps?labelSelector=p&limit=3')" 200
    same "$(jq '.items | length' "$work/body")" 3
    rv=$(jq -r .metadata.resourceVersion "$work/body")
    next=$(jq -r .metadata.continue "$work/body")
    api DELETE /api/v1/namespaces/default/configmaps/page-5 >/dev/null
    same "$(host=$CLUSTER_NET.12 api GET "/api/v1/namespaces/default/configmaps?labelSelector=p&limit=10&continue=$next")" 200
    same "$(jq -r .metadata.resourceVersion "$work/body")" "$rv"
    same "$(jq '.items | length' "$work/body")" 4 # the deleted one is still in that revision
    api DELETE '/api/v1/namespaces/default/configmaps?labelSelector=p' >/dev/null
    api GET '/api/v1/namespaces/default/configmaps?labelSelector=p' >/dev/null
    same "$(jq '.items | length' "$work/body")" 0
}

t_who_may_not_gets_nothing() {
    local plain=(curl -s -m 5 -o /dev/null -w '%{http_code}' --cacert "$CLUSTER_DIR/pki/ca.crt") url=https://$CLUSTER_NET.11:6443
    same "$("${plain[@]}" $url/api/v1/pods)" 401
    same "$("${plain[@]}" $url/version)" 200
    same "$("${plain[@]}" $url/readyz)" 200
    same "$("${plain[@]}" $url/metrics)" 401
    same "$("${plain[@]}" -H 'Authorization: Bearer nonsense' $url/api/v1/pods)" 401
    same "$("${plain[@]}" -H 'X-Remote-User: admin' -H 'X-Remote-Group: system:masters' $url/api/v1/pods)" 401
    local token
    token=$(k create token default)
    same "$("${plain[@]}" -H "Authorization: Bearer $token" $url/api/v1/pods)" 403
    same "$("${plain[@]}" -H "Authorization: Bearer ${token}x" $url/api/v1/pods)" 401
    # Who may only patch does not create by applying.
    k create role patcher --verb=patch --resource=configmaps && k create rolebinding patcher --role=patcher --serviceaccount=default:default
    may_patch() { [ "$("${plain[@]}" -H "Authorization: Bearer $token" -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{}' $url/api/v1/namespaces/default/configmaps/nothing)" = 404 ]; }
    eventually 5 may_patch
    same "$("${plain[@]}" -H "Authorization: Bearer $token" -X PATCH -H 'Content-Type: application/apply-patch+yaml' -d '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"nothing"}}' "$url/api/v1/namespaces/default/configmaps/nothing?fieldManager=t")" 403
    k delete rolebinding/patcher role/patcher
    # A certificate of another authority.
    "$PINTLE" cert init --dir "$work/other" && "$PINTLE" cert issue --ca-dir "$work/other" --dir "$work/other" --name admin --group system:masters
    fails "${plain[@]}" --cert "$work/other/admin.crt" --key "$work/other/admin.key" $url/api/v1/pods
    # A node sees its own, not others' secrets.
    local node=(--cert "$CLUSTER_DIR/node-1/pki/node.crt" --key "$CLUSTER_DIR/node-1/pki/node.key")
    k create secret generic private --from-literal=a=b
    same "$("${plain[@]}" "${node[@]}" $url/api/v1/namespaces/default/secrets/private)" 403
    same "$("${plain[@]}" "${node[@]}" $url/api/v1/nodes/node-1)" 200
    same "$("${plain[@]}" "${node[@]}" -X DELETE $url/api/v1/nodes/node-2)" 403
    node_patches() { "${plain[@]}" "${node[@]}" -X PATCH -H 'Content-Type: application/merge-patch+json' -d "$1" $url/api/v1/nodes/node-1; }
    same "$(node_patches '{"metadata":{"labels":{"a.node-restriction.kubernetes.io/x":"y"}}}')" 403
    same "$(node_patches '{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}}')" 403
    same "$(node_patches '{"metadata":{"labels":{"t":"y"}}}')" 200
    # A token of an account that its pods use, but bound to none of them.
    pod tokened Never '    command: ["sleep", "1000"]' | sed 's/^spec:/&\n  nodeName: node-1/' | k apply -f -
    unbound() { "${plain[@]}" "${node[@]}" -X POST -H 'Content-Type: application/json' -d '{}' $url/api/v1/namespaces/default/serviceaccounts/default/token; }
    same "$(unbound)" 403
    eventually 30 is_phase tokened Running # its own token it got
    k delete pod tokened
    # The agent's own port is for the servers.
    fails curl -sf -m 5 -k "https://$CLUSTER_NET.21:10250/pods" >/dev/null
    k delete secret private
}

t_a_killed_leader_costs_nothing() {
    local l other i from
    manifest alive 2 | k apply -f -
    k rollout status deployment/alive --timeout=60s
    for i in 1 2 3; do
        l=$(leader)
        other=$((l % 3 + 1))
        host=$CLUSTER_NET.1$other
        same "$(api POST /api/v1/namespaces/default/configmaps -H 'Content-Type: application/json' -d "{\"metadata\":{\"name\":\"kept-$i\"}}")" 201
        kill -9 "$(cat "$CLUSTER_DIR/server-$l/pid")"
        from=$(date +%s%N)
        until [ "$(api POST /api/v1/namespaces/default/configmaps -H 'Content-Type: application/json' -d "{\"metadata\":{\"name\":\"after-$i-$RANDOM\"}}")" = 201 ]; do
            [ $(($(date +%s%N) - from)) -lt 5000000000 ]
        done
        echo "next write after $(((($(date +%s%N) - from)) / 1000000)) ms"
        same "$(api GET "/api/v1/namespaces/default/configmaps/kept-$i")" 200
        k scale deploy alive --replicas=$((2 + i))
        k rollout status deployment/alive --timeout=60s
        cluster server "$l" start
        eventually 10 curl -sf -m 2 --cacert "$CLUSTER_DIR/pki/ca.crt" "https://$CLUSTER_NET.1$l:6443/readyz"
    done
    for i in 1 2 3; do
        host=$CLUSTER_NET.1$i
        same "$(api GET /api/v1/namespaces/default/configmaps/kept-1)" 200
    done
    k delete deploy alive
}

t_rolling_restart_keeps_everything() {
    local i
    k create configmap before --from-literal=a=b
    for i in 1 2 3; do
        cluster server "$i" stop
        cluster server "$i" start
        eventually 10 curl -sf -m 2 --cacert "$CLUSTER_DIR/pki/ca.crt" "https://$CLUSTER_NET.1$i:6443/readyz"
        eventually 10 k get configmap before
    done
    k delete configmap before
    has "$("$PINTLE" status --cert-dir "$CLUSTER_DIR/pki" --server "$CLUSTER_NET.11:6443" --server "$CLUSTER_NET.12:6443" --server "$CLUSTER_NET.13:6443")" leader
}

t_killed_agent_and_runtime_recover() {
    manifest hardy 2 | k apply -f -
    k rollout status deployment/hardy --timeout=60s
    local before
    before=$(k get pods -l app=hardy -o 'jsonpath={.items[*].status.containerStatuses[0].containerID}')
    cluster node 1 kill
    cluster node 1 start
    kill -9 "$(cat "$CLUSTER_DIR/node-2/containerd.pid")"
    cluster node 2 start
    sleep 3
    same "$(k get pods -l app=hardy -o 'jsonpath={.items[*].status.containerStatuses[0].containerID}')" "$before"
    local pod
    for pod in $(k get pods -l app=hardy -o name); do eventually 15 k exec "$pod" -- true; done
    k delete deploy hardy
}

t_a_namespace_goes_with_all_it_has() {
    k create namespace short
    manifest x 2 | k -n short apply -f -
    k -n short rollout status deployment/x --timeout=60s
    k delete namespace short --timeout=60s
    gone namespace short
    same "$(api GET /api/v1/namespaces/short/pods)" 200
    same "$(jq '.items | length' "$work/body")" 0
}

t_metrics_have_known_names() {
    api GET /metrics >/dev/null
    local name
    for name in pintle_raft_is_leader pintle_raft_term pintle_store_revision apiserver_request_total apiserver_request_duration_seconds_bucket \
        apiserver_current_inflight_requests apiserver_storage_objects; do
        grep -q "^$name" "$work/body"
    done
}

# A replica of its own on a small file system: it says that the disk is full, deletes go on, and service resumes.
t_full_disk() {
    local data=$work/full/data pki=$work/full/pki pid rv=0
    mkdir -p "$data"
    "$PINTLE" cert init --dir "$pki"
    "$PINTLE" cert issue --ca-dir "$pki" --dir "$pki" --name admin --group system:masters
    "$PINTLE" cert issue --ca-dir "$pki" --dir "$pki" --server --name 1
    mount -t tmpfs -o size=90m tmpfs "$data"
    "$PINTLE" server --id 1 --data-dir "$data" --cert-dir "$pki" --listen 127.0.0.1:16449 --peer-listen 127.0.0.1:17449 \
        --member 1=127.0.0.1:17449,127.0.0.1:16449 --snapshot-every 1000000 >"$work/full/log" 2>&1 &
    pid=$!
    (set -e; full_disk_steps "$data" "$pki") || rv=$?
    kill $pid
    wait $pid || true
    umount "$data"
    fails grep -A 20 -E 'Sanitizer|runtime error' "$work/full/log"
    same "$rv" 0
}

full_disk_steps() {
    local ask code i url=https://127.0.0.1:16449/api/v1/namespaces/default/configmaps
    ask() { curl -s -m 20 -o "$work/body" -w '%{http_code}' --cacert "$2/ca.crt" --cert "$2/admin.crt" --key "$2/admin.key" "${@:3}" "$url"; }
    jq -n '{metadata: {generateName: "big-"}, data: {v: ("x" * 900000)}}' >"$work/big.json"
    create() { ask x "$1" -X POST -H 'Content-Type: application/json' --data-binary "@$work/big.json"; }
    eventually 10 sh -c "curl -sf -m 2 --cacert $2/ca.crt https://127.0.0.1:16449/readyz"
    for i in $(seq 150); do
        code=$(create "$2")
        [ "$code" = 201 ] || break
    done
    same "$code" 507
    has "$(cat "$work/body")" "disk is full"
    same "$(ask x "$2" -X GET)" 200
    same "$(ask x "$2" -X DELETE)" 200
    mount -o remount,size=400m "$1"
    for i in $(seq 50); do
        code=$(create "$2")
        [ "$code" = 201 ] && break
        sleep 0.2
    done
    same "$code" 201
}

# A pod that puts a link in the place of its subPath gets nothing outside its volume, at any restart.
t_subpaths_stay_in_their_volume() {
    k apply -f - <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: subpath}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
  - {name: data, emptyDir: {}}
  - {name: conf, configMap: {name: subpath}}
  containers:
  - name: writer
    image: pintle.local/web:1
    command: ["sh", "-c", "exec sleep 1000"]
    volumeMounts: [{name: data, mountPath: /all}]
  - name: reader
    image: pintle.local/web:1
    env: [{name: NAME, value: part}]
    command: ["sh", "-c", "trap 'exit 1' TERM; cat /conf; echo; while :; do sleep 0.2; done"]
    volumeMounts:
    - {name: data, mountPath: /part, subPathExpr: $(NAME)}
    - {name: conf, mountPath: /conf, subPath: key}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: subpath}
data: {key: from-the-map}
YAML
    k wait pod/subpath --for=condition=Ready --timeout=60s
    said() { [ "$(k logs subpath -c reader)" = from-the-map ]; }
    eventually 10 said
    k exec subpath -c reader -- touch /part/here
    has "$(k exec subpath -c writer -- ls /all/part)" here
    k exec subpath -c writer -- sh -c 'rm -r /all/part && ln -s / /all/part'
    k exec subpath -c reader -- sh -c 'kill 1' || true
    refused() { k get pod subpath -o json | grep -q 'leads out of the volume'; }
    eventually 40 refused
    k delete pod subpath --grace-period=1
    eventually 20 gone pod subpath
    released() { ! grep -q "$CLUSTER_DIR/.*/subpaths" /proc/mounts; }
    eventually 10 released
    k delete configmap subpath
}

. "$here/kubectl/run.sh"
. "$here/streams.sh"
. "$here/images.sh"
