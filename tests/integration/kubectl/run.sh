# The transcripts as tests of the cluster; sourced by tests.sh. Three versions of kubectl at a time, each in namespaces of
# its own; what changes nodes comes last, one after the other.

# transcript VERSION FILE: run with that kubectl
transcript() {
    local namespace=${2%.txt}-$1
    k create namespace "$namespace" >/dev/null
    eventually 20 k -n "$namespace" get serviceaccount default
    timeout 280 python3 "$here/kubectl/transcripts.py" "$tools/kubectl-1.$1" "$1" "$CLUSTER_DIR/admin.kubeconfig" "$namespace" \
        "$here/kubectl/$2" || return 1
    k delete namespace "$namespace" --wait=false >/dev/null
}
# all_versions FILE: at the same time
all_versions() {
    local version pid pids=() rv=0
    for version in 20 32 36; do
        transcript "$version" "$1" >"$work/transcript-$version" 2>&1 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || rv=1; done
    cat "$work"/transcript-*
    return $rv
}
t_kubectl_pods() { all_versions pods.txt; }
t_kubectl_objects() { all_versions objects.txt; }
t_kubectl_cluster() { all_versions cluster.txt; }
t_kubectl_nodes() {
    local version
    for version in 20 36; do transcript "$version" nodes.txt; done
}
