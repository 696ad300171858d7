# The tables of tests/data (what Kubernetes serves, row by row) against one server.

# tabled TEST: a test of tests/integration/api/tables.py
tabled() {
    local members=1
    cluster 1
    timeout 300 python3 "$here/api/tables.py" "$dir/pki" "$(address 1)" -- "$@"
}

t_tables_selectors() { tabled selectors; }
t_tables_created() { tabled created service_fields admitted; }
t_tables_strategies() { tabled strategies; }
t_tables_bootstrap() { tabled bootstrap operations; }

t_tables_apply() { tabled apply; }

# kubectl apply, then --server-side: the fields move, the annotation follows, and a prune needs no force.
t_tables_apply_migration() {
    local members=1 kubectl=$tools/kubectl-1.36 d=/apis/apps/v1/namespaces/default/deployments/d
    cluster 1
    kubeconfig
    manifest() {
        echo '{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {paused: true, replicas: '"$1"', selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "'"$2"'"}]}}}}'
    }
    owners() { ask 1 GET $d | jq -r '[.metadata.managedFields[]|select(.subresource==null)|.manager+" "+.operation]|sort|join(", ")'; }
    note() { ask 1 GET $d | jq -r '.metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]|fromjson|"\(.spec.replicas) \(.spec.template.spec.containers[0].image)"'; }
    manifest 0 i:1 | k apply -f -
    same "$(owners)" "kubectl-client-side-apply Update"
    manifest 0 i:2 | k apply --server-side -f -
    same "$(ask 1 GET $d | jq -r '.spec.template.spec.containers[0].image')" i:2
    same "$(owners)" "kubectl Apply, kubectl-last-applied Apply"
    same "$(note)" "0 i:2"
    manifest 1 i:3 | k apply --server-side -f -
    same "$(note)" "1 i:3"
    # and back
    manifest 0 i:4 | k apply -f - 2>&1
    same "$(note)" "0 i:4"
}
