# Warning headers as clients see them.

t_api_warnings() { driven warned; }

# kubectl prints each warning on its own line, once.
t_api_warnings_in_kubectl() {
    local version out
    cluster 1 2 3
    kubeconfig
    for version in 1.32 1.36; do
        kubectl=$tools/kubectl-$version
        out=$(k get endpoints -A 2>&1 >/dev/null)
        same "$out" "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
        out=$(k create --dry-run=server -f - 2>&1 <<YAML
apiVersion: batch/v1
kind: Job
metadata: {name: old.job}
spec:
  template:
    spec:
      restartPolicy: Never
      nodeSelector: {failure-domain.beta.kubernetes.io/zone: a}
      containers: [{name: c, image: busybox, ports: [{containerPort: 80}, {containerPort: 80}]}]
YAML
        )
        same "$out" "Warning: metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]
Warning: spec.template.spec.nodeSelector[failure-domain.beta.kubernetes.io/zone]: deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead
Warning: spec.template.spec.containers[0].ports[1]: duplicate port definition with spec.template.spec.containers[0].ports[0]
job.batch/old.job created (server dry run)"
        same "$(k create --dry-run=server --warnings-as-errors -f - 2>&1 <<<'{"apiVersion":"v1","kind":"Service","metadata":{"name":"x"},"spec":{"clusterIP":"None","ports":[{"port":80}]}}')" \
            "service/x created (server dry run)"
    done
}
