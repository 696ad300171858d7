# The API as clients see it: raw requests (tests/integration/api), kubectl of three versions, the client libraries of
# Python and JavaScript, and what people deploy.

api_dir=$here/api

# driven SCRIPT [TEST...]: a driver of tests/integration/api against three servers, /usr/bin/python3: Debian's, which
# has Debian's kubernetes module
driven() {
    local script=$1
    shift
    cluster 1 2 3
    timeout 300 /usr/bin/python3 "$api_dir/$script.py" "$dir/pki" "$(address 1)" "$(address 2)" "$(address 3)" ${@:+-- "$@"}
}

t_api_kinds() { driven kinds; }
t_api_lists() { driven lists; }
t_api_watches() { driven watches; }
t_api_writes() { driven writes; }

t_api_follower_repeats_writes() {
    local old follower i
    cluster 1 2 3
    old=$(leader)
    follower=$((old % 3 + 1))
    timeout 60 /usr/bin/python3 "$api_dir/follower.py" "$dir/pki" "$(address "$follower")" &
    local load=$!
    for i in 1 2; do
        sleep 2
        old=$(leader)
        [ "$old" = "$follower" ] && break # it has become the leader itself
        end "$old" KILL
        server "$old"
    done
    wait $load
}
t_api_kubectl_traffic() {
    pki 1 2 3
    "$PINTLE" cert issue --ca-dir "$dir/pki" --dir "$dir/agent" --node --name n1 --ip "$(address 9)"
    AGENT_ADDRESS=$(address 9) AGENT_PKI=$dir/agent driven traffic
}

# ---- kubectl ----

# k ARGUMENTS...: the kubectl under test against the first server
k() { timeout 60 "$kubectl" --kubeconfig "$dir/kubeconfig" --cache-dir "$dir/cache-$(basename "$kubectl")" "$@"; }
kubeconfig() {
    cat >"$dir/kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: admin}}]
clusters: [{name: test, cluster: {server: "https://$(address 1):6443", certificate-authority: $dir/pki/ca.crt}}]
users: [{name: admin, user: {client-certificate: $dir/pki/admin.crt, client-key: $dir/pki/admin.key}}]
YAML
}
# A command that should fail, and say this.
refuses() {
    local text=$1 out
    shift
    if out=$("$@" 2>&1); then echo "should have failed: $*"; return 1; fi
    has "$out" "$text"
}
# A pod that stays as it is: bound to a node that has no agent, and said to run.
still_pod() { # still_pod NAMESPACE NAME
    ask 1 POST "/api/v1/namespaces/$1/pods" -H 'Content-Type: application/json' -d '{"metadata":{"name":"'"$2"'","labels":{"app":"'"$2"'"}},
        "spec":{"nodeName":"n1","containers":[{"name":"c","image":"busybox"}]}}' >/dev/null
    ask 1 PATCH "/api/v1/namespaces/$1/pods/$2/status" -H 'Content-Type: application/merge-patch+json' -d '{"status":{"phase":"Running",
        "podIP":"10.1.1.1","podIPs":[{"ip":"10.1.1.1"}],"containerStatuses":[{"name":"c","ready":true,"restartCount":0,"image":"busybox",
        "imageID":"i","started":true,"state":{"running":{"startedAt":"2024-01-01T00:00:00Z"}}}]}}' >/dev/null
}

# Every subcommand that needs no agent, and what Kubernetes lets it print.
kubectl_commands() {
    local kubectl=$1 old=${2:-} novalidate=() out
    # Without /openapi/v2 kubectl 1.20 cannot validate what it sends.
    [ -z "$old" ] || ask 1 GET /openapi/v2 >/dev/null 2>&1 || novalidate=(--validate=false)
    same "$(k create namespace team)" "namespace/team created"
    eventually 20 k -n team get serviceaccount default
    ask 1 POST /api/v1/nodes -H 'Content-Type: application/json' -d '{"metadata":{"name":"n1"}}' >/dev/null
    has "$(k version ${old:+--short} 2>&1)" "Server Version: v1.36"
    has "$(k cluster-info)" "is running at"
    has "$(k api-versions)" "apps/v1"
    has "$(k api-resources)" "deployments"
    has "$(k api-resources --namespaced=false -o name)" "clusterroles.rbac.authorization.k8s.io"
    same "$(k get --raw /healthz)" ok
    same "$(k -n team get pods 2>&1)" "No resources found in team namespace."

    # making
    same "$(k -n team create configmap c1 --from-literal=a=b)" "configmap/c1 created"
    same "$(k -n team create secret generic s1 --from-literal=a=b)" "secret/s1 created"
    same "$(k -n team create serviceaccount builder)" "serviceaccount/builder created"
    same "$(k -n team create role reader --verb=get --resource=pods)" "role.rbac.authorization.k8s.io/reader created"
    same "$(k -n team create rolebinding reads --role=reader --serviceaccount=team:builder)" "rolebinding.rbac.authorization.k8s.io/reads created"
    same "$(k create clusterrole sees --verb=list --resource=nodes)" "clusterrole.rbac.authorization.k8s.io/sees created"
    same "$(k create clusterrolebinding seen --clusterrole=sees --serviceaccount=team:builder)" "clusterrolebinding.rbac.authorization.k8s.io/seen created"
    same "$(k -n team create deployment web --image=nginx)" "deployment.apps/web created"
    same "$(k -n team create job once --image=busybox -- true)" "job.batch/once created"
    same "$(k -n team create quota small --hard=pods=50)" "resourcequota/small created"
    same "$(k -n team create service clusterip plain --tcp=80:80)" "service/plain created"
    same "$(k create priorityclass high --value=10 --description=x)" "priorityclass.scheduling.k8s.io/high created"
    same "$(k -n team run r1 --image=busybox --restart=Never)" "pod/r1 created"
    [ -n "$old" ] || { # 1.20 makes these in versions that are no longer served
        same "$(k -n team create poddisruptionbudget pdb --selector=app=web --min-available=1)" "poddisruptionbudget.policy/pdb created"
        same "$(k -n team create cronjob often --image=busybox --schedule='*/5 * * * *')" "cronjob.batch/often created"
        same "$(k -n team create ingress in --rule=a.example/=plain:80)" "ingress.networking.k8s.io/in created"
        same "$(k -n team create job now --from=cronjob/often)" "job.batch/now created"
        has "$(k -n team create token builder | cut -d. -f1 | tr '_-' '/+' | base64 -d 2>/dev/null)" '"alg"'
        has "$(k auth whoami)" "system:masters"
    }
    refuses 'configmaps "c1" already exists' k -n team create configmap c1
    refuses 'Error from server (NotFound): configmaps "none" not found' k -n team get configmap none
    refuses "error: the server doesn't have a resource type \"gizmos\"" k get gizmos

    # reading
    has "$(k -n team get configmap c1)" "NAME   DATA   AGE"
    same "$(k -n team get cm c1 -o jsonpath='{.data.a}')" b
    same "$(k -n team get cm c1 -o name)" configmap/c1
    same "$(k -n team get cm c1 -o go-template='{{.metadata.name}}')" c1
    same "$(k -n team get cm c1 -o custom-columns=N:.metadata.name --no-headers)" c1
    has "$(k -n team get cm c1 -o yaml)" "kind: ConfigMap"
    has "$(k -n team get all)" "deployment.apps/web"
    has "$(k -n team get deployment web -o wide)" "CONTAINERS"
    has "$(k get nodes)" "n1"
    has "$(k get ns --show-labels)" "kubernetes.io/metadata.name=team"
    has "$(k -n team get cm --sort-by=.metadata.name)" c1
    has "$(k -n team get cm,secret --chunk-size=1)" secret/s1
    same "$(k -n team get cm -l nothing=here 2>&1)" "No resources found in team namespace."
    same "$(k -n team get cm --field-selector metadata.name=c1 --no-headers | wc -l)" 1
    still_pod team still
    has "$(k -n team get pods still)" "Running"
    has "$(k -n team get pod still -o wide)" "10.1.1.1"
    has "$(k -n team describe pod still)" "Node:"
    has "$(k -n team describe deployment web)" "RollingUpdateStrategy"
    has "$(k describe node n1)" "Name:               n1"
    has "$(k -n team describe configmap c1)" "a:"
    has "$(k -n team get events 2>&1)" ""
    timeout 4 "$kubectl" --kubeconfig "$dir/kubeconfig" -n team get cm -w >"$dir/watched" || true
    has "$(cat "$dir/watched")" c1

    # changing
    same "$(k -n team label cm c1 tier=web)" "configmap/c1 labeled"
    refuses "already has a value (web)" k -n team label cm c1 tier=db
    same "$(k -n team annotate cm c1 note=x)" "configmap/c1 annotated"
    same "$(k -n team patch cm c1 -p '{"data":{"a":"c"}}')" "configmap/c1 patched"
    same "$(k -n team patch cm c1 --type=merge -p '{"data":{"a":"c"}}')" "configmap/c1 patched (no change)"
    same "$(k -n team patch cm c1 --type=json -p '[{"op":"replace","path":"/data/a","value":"d"}]')" "configmap/c1 patched"
    same "$(k -n team scale deployment web --replicas=2)" "deployment.apps/web scaled"
    refuses "Expected replicas to be 7, was 2" k -n team scale deployment web --current-replicas=7 --replicas=1
    has "$(k -n team set image deployment/web nginx=nginx:2)" "deployment.apps/web image updated"
    same "$(k -n team set env deployment/web A=b)" "deployment.apps/web env updated"
    same "$(k -n team set resources deployment/web --limits=cpu=1)" "deployment.apps/web resource requirements updated"
    same "$(k -n team set serviceaccount deployment web builder)" "deployment.apps/web serviceaccount updated"
    same "$(k -n team set selector service plain app=web)" "service/plain selector updated"
    same "$(k -n team rollout pause deployment/web)" "deployment.apps/web paused"
    same "$(k -n team rollout resume deployment/web)" "deployment.apps/web resumed"
    same "$(k -n team rollout restart deployment/web)" "deployment.apps/web restarted"
    eventually 20 sh -c "'$kubectl' --kubeconfig '$dir/kubeconfig' -n team get rs --no-headers | wc -l | grep -q [3-9]"
    has "$(k -n team rollout history deployment/web)" "REVISION"
    has "$(k -n team rollout undo deployment/web)" "rolled back"
    refuses "timed out waiting" k -n team rollout status deployment/web --timeout=2s
    same "$(k -n team autoscale deployment web --min=1 --max=3)" "horizontalpodautoscaler.autoscaling/web autoscaled"
    same "$(k -n team expose deployment web --port=80)" "service/web exposed"
    has "$(EDITOR='sed -i s/d$/e/' k -n team edit cm c1 "${novalidate[@]}" 2>&1)" "configmap/c1"
    k -n team get cm c1 -o yaml | sed 's/tier: web/tier: db/' >"$dir/c1.yaml"
    same "$(k replace -f "$dir/c1.yaml" "${novalidate[@]}")" "configmap/c1 replaced"
    refuses "the object has been modified" k replace -f "$dir/c1.yaml" "${novalidate[@]}"

    # applying
    printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied, namespace: team}\ndata: {k: v}\n' >"$dir/a.yaml"
    same "$(k apply -f "$dir/a.yaml" "${novalidate[@]}")" "configmap/applied created"
    same "$(k apply -f "$dir/a.yaml" "${novalidate[@]}")" "configmap/applied unchanged"
    sed -i 's/k: v/k: w/' "$dir/a.yaml"
    if [ -z "$old" ]; then
        out=$(k diff -f "$dir/a.yaml") && { echo "diff should have found a difference"; return 1; }
        has "$out" "+  k: w"
        same "$(k apply -f "$dir/a.yaml" --dry-run=server)" "configmap/applied configured (server dry run)"
    fi
    same "$(k apply -f "$dir/a.yaml" "${novalidate[@]}")" "configmap/applied configured"
    has "$(k apply view-last-applied -f "$dir/a.yaml")" "k: w"
    [ -n "$old" ] || {
        sed 's/k: w/k: x/' "$dir/a.yaml" >"$dir/b.yaml"
        sed 's/^data:/dta:/' "$dir/a.yaml" >"$dir/bad.yaml"
        refuses "conflict with" k apply --server-side --field-manager=other -f "$dir/b.yaml"
        # Nothing but this: no warning that a migration failed.
        same "$(k apply --server-side --field-manager=other --force-conflicts -f "$dir/b.yaml" 2>&1)" "configmap/applied serverside-applied"
        refuses 'unknown field "dta"' k apply -f "$dir/bad.yaml"
        has "$(k explain deployment.spec.strategy)" "rollingUpdate"
        has "$(k explain pod --recursive)" "containerPort"
        has "$(k -n team events)" ""
    }

    # asking
    same "$(k auth can-i create pods)" yes
    same "$(k auth can-i get pods -n team --as system:serviceaccount:team:builder)" yes
    out=$(k auth can-i delete pods -n team --as system:serviceaccount:team:builder 2>/dev/null) && return 1
    has "$out" no
    has "$(k auth can-i --list -n team --as system:serviceaccount:team:builder)" "pods"
    has "$(k auth reconcile -f <(k -n team get role reader -o yaml))" "role.rbac.authorization.k8s.io/reader"

    # nodes
    same "$(k cordon n1)" "node/n1 cordoned"
    has "$(k get node n1)" "SchedulingDisabled"
    same "$(k uncordon n1)" "node/n1 uncordoned"
    same "$(k taint node n1 k=v:NoSchedule)" "node/n1 tainted"
    has "$(k taint node n1 k-)" "node/n1 untainted"
    refuses "" k drain n1 --timeout=3s
    has "$(k drain n1 --force --ignore-daemonsets --delete-emptydir-data --dry-run=server 2>&1)" "evicting pod team/still"

    # waiting and deleting
    same "$(k -n team wait --for=condition=nope pod/still --timeout=1s 2>&1 | head -n 1 | grep -c 'timed out')" 1
    k -n team delete pod still --grace-period=5 --wait=false >/dev/null
    (sleep 1; k -n team delete pod still --force --grace-period=0 >/dev/null 2>&1) &
    has "$(k -n team wait --for=delete pod/still --timeout=20s 2>&1)" ""
    wait $!
    same "$(k -n team delete cm c1)" 'configmap "c1" deleted'"$(from_namespace)"
    same "$(k -n team delete cm none --ignore-not-found)" ""
    same "$(k -n team delete cm -l nothing=here 2>&1)" "No resources found"
    has "$(k -n team delete deployment web --cascade=orphan)" 'deployment.apps "web" deleted'
    eventually 20 sh -c "! '$kubectl' --kubeconfig '$dir/kubeconfig' -n team get deployment web"
    [ "$(k -n team get rs --no-headers | wc -l)" -ge 1 ]
    k -n team delete rs --all >/dev/null
    has "$(k -n team delete job,svc --all 2>&1)" "deleted"
    k delete clusterrole sees >/dev/null; k delete clusterrolebinding seen >/dev/null; k delete priorityclass high >/dev/null
    k -n team delete pods --all --force --grace-period=0 >/dev/null 2>&1
    has "$(k delete namespace team --timeout=40s)" 'namespace "team" deleted'
    has "$(k delete node n1)" 'node "n1" deleted'
    refuses 'namespaces "team" not found' k get namespace team
}
# Since 1.34 kubectl says where it deleted.
from_namespace() { [ "$(basename "$kubectl")" != kubectl-1.36 ] || echo ' from team namespace'; }

t_api_kubectl_1_36() { cluster 1 2 3; kubeconfig; kubectl_commands "$tools/kubectl-1.36"; }
t_api_kubectl_1_32() { cluster 1 2 3; kubeconfig; kubectl_commands "$tools/kubectl-1.32"; }
t_api_kubectl_1_20() { cluster 1 2 3; kubeconfig; kubectl_commands "$tools/kubectl-1.20" old; }

# ---- libraries ----

client_python() { timeout 120 /usr/bin/python3 "$api_dir/client_python.py" "$@"; }
client_node() {
    timeout 120 node "$api_dir/client_node.mjs" "$tools/node/node_modules/@kubernetes/client-node/dist/index.js" "$@"
}
t_api_python_client() { cluster 1 2 3; kubeconfig; client_python "$dir/kubeconfig"; }
t_api_node_client() { cluster 1 2 3; kubeconfig; client_node "$dir/kubeconfig"; }

# A library's informer sees every object, though the leader, and the server that it follows, are killed meanwhile.
informer_over_kills() { # informer_over_kills COMMAND
    local i expected='' old next following
    pki
    for i in 1 2 3; do # the load balancer's address is in the certificates
        "$PINTLE" cert issue --ca-dir "$dir/pki" --dir "$dir/$i/pki" --name "$i" --server --ip "$(address "$i")" --ip "$(address 9)"
    done
    cluster 1 2 3
    kubeconfig
    sed "s/$(address 1):6443/$(address 9):6443/" "$dir/kubeconfig" >"$dir/front.kubeconfig"
    old=$(leader)
    goes_to "$old"
    python3 "$api_dir/front.py" "$(address 9)" "$dir/front" &
    echo $! >"$dir/front.pid"
    sleep 0.5
    "$1" "$dir/front.kubeconfig" informer "$dir/following" >"$dir/seen" 2>"$dir/informer.log" &
    following=$!
    eventually 20 test -e "$dir/following"
    for i in $(seq 30); do
        next=$((old % 3 + 1))
        case $i in
        8) goes_to "$next"; end "$old" KILL ;; # the leader, which it follows
        16) server "$old"; eventually 30 ready "$old" ;;
        22) goes_to "$old"; end "$next" KILL; server "$next" ;;
        esac
        eventually 20 put "$old_or_next" "i$i" x
        expected="$expected i$i"
    done
    eventually 30 put "$old_or_next" last x
    wait $following || { tail -n 5 "$dir/informer.log"; kill "$(cat "$dir/front.pid")"; return 1; }
    kill "$(cat "$dir/front.pid")"
    same "$(words "$(cat "$dir/seen")")" "$(words "$expected")"
}
goes_to() { old_or_next=$1; address "$1" >"$dir/front"; }
words() { tr ' ' '\n' <<<"$1" | grep . | sort -u; }
t_api_python_informer_over_kills() { informer_over_kills client_python; }
t_api_node_informer_over_kills() { informer_over_kills client_node; }

# ---- what people deploy ----

# lines_end TEXT LINES: every line ends with the text, and there are as many
lines_end() {
    local other
    other=$(grep -v "$1\$" <<<"$2" || true)
    [ -z "$other" ] || { echo "not \"$1\":"; echo "$other"; return 1; }
}
life_of_a_manifest() { # life_of_a_manifest FILE: applied, again, by a second manager, changed, pruned, deleted
    local file=$1 name part out n
    name=$(basename "$file" .yaml)
    part=$(awk '/part-of:/ { gsub(/[{},]/, " "); for (i = 1; i < NF; i++) if ($i ~ /part-of:/) { print $(i + 1); exit } }' "$file")
    n=$(grep -c '^kind:' "$file")
    out=$(k apply -f "$file")
    lines_end created "$out"
    same "$(wc -l <<<"$out")" "$n"
    # Nothing changes, though kubectl says "configured" of lists and selectors that it replaces as a whole.
    settled "$file" >"$dir/before"
    lines_end '\(unchanged\|configured\)' "$(k apply -f "$file")"
    settled "$file" >"$dir/after"
    diff -u "$dir/before" "$dir/after"
    k diff -f "$file" || { echo "$name: a difference where there is none"; return 1; }
    # A second manager takes it all over (lists that are one value conflict, by what was defaulted in them), and changes
    # nothing that a controller would see.
    settled "$file" >"$dir/before"
    lines_end serverside-applied "$(k apply --server-side --field-manager=second --force-conflicts -f "$file" 2>&1)"
    settled "$file" >"$dir/after"
    diff -u "$dir/before" "$dir/after"
    lines_end serverside-applied "$(k apply --server-side --field-manager=second --force-conflicts -f "$file" 2>&1)"
    k apply -f "$file" >/dev/null 2>&1 # the note is back
    # A changed label is found, and is all that is changed.
    sed "0,/app.kubernetes.io\/part-of: $part/s//&, changed: \"yes\"/" "$file" >"$dir/changed.yaml"
    out=$(k diff -f "$dir/changed.yaml") && { echo "$name: no difference found"; return 1; }
    has "$out" "changed: \"yes\""
    settled "$file" >"$dir/before"
    k apply -f "$dir/changed.yaml" >/dev/null
    settled "$file" >"$dir/after"
    same "$(diff "$dir/before" "$dir/after" | grep -c '^[<>]')" 1
    # What is no longer in the file is pruned: the file's last object.
    awk -v RS='---\n' -v ORS='---\n' 'NR > 1 { print last } { last = $0 }' "$dir/changed.yaml" >"$dir/less.yaml"
    out=$(k apply --prune -l "app.kubernetes.io/part-of=$part" -f "$dir/less.yaml" --prune-allowlist="$(pruned_kind "$file")" 2>&1)
    same "$(grep -c pruned <<<"$out")" 1
    k delete -f "$file" --ignore-not-found --wait=false >/dev/null
    eventually 90 gone "$file"
}
# What the objects of a file ask for. kubectl takes its note of the last apply away when another manager takes over, which
# counts as a change of a Deployment, as all its annotations do.
settled() {
    k get -f "$1" -o json | jq -S '[.items[] | {kind, name: .metadata.name, labels: .metadata.labels, spec, data, rules, template,
        generation: (if .kind == "Deployment" then null else .metadata.generation end)}]'
}
# The last object's kind as kubectl names it to prune: GROUP/VERSION/KIND
pruned_kind() {
    awk '/^apiVersion:/ { v = $2 } /^kind:/ { k = $2 } END { if (v !~ /\//) v = "core/" v; print v "/" k }' "$1"
}
gone() { [ -z "$(k get -f "$1" --ignore-not-found 2>&1 | grep -v 'NotFound\|not found')" ]; }

t_api_manifests() {
    local kubectl=$tools/kubectl-1.36 file
    cluster 1 2 3
    kubeconfig
    for file in "$here"/manifests/*.yaml; do
        echo "$file"
        life_of_a_manifest "$file"
    done
    same "$(ls "$here"/manifests/*.yaml | wc -l)" 10
}
