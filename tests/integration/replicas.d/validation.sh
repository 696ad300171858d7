# What a server refuses and how it says so: one server, kubectl's requests by hand.

ns=/api/v1/namespaces/default

# send METHOD PATH BODY [TYPE]: prints the answer's body, errors too
send() {
    curl -sS -m 20 --cacert "$dir/pki/ca.crt" --cert "$dir/pki/admin.crt" --key "$dir/pki/admin.key" -X "$1" \
        -H "Content-Type: ${4-application/json}" -d "$3" "https://$(address 1):6443$2"
}
# refused METHOD PATH BODY CODE TEXT [TYPE]: the answer is a Status with this code whose message holds the text
refused() {
    local answer
    answer=$(send "$1" "$2" "$3" "${6-application/json}")
    [ "$(jq -r .code <<<"$answer")" = "$4" ] && [[ "$(jq -r .message <<<"$answer")" == *"$5"* ]] && return
    echo "$1 $2: wanted $4 ... $5, got: $answer"
    return 1
}
# accepted METHOD PATH BODY [TYPE]
accepted() {
    local answer
    answer=$(send "$@")
    [ "$(jq -r .kind <<<"$answer")" != Status ] || [ "$(jq -r .status <<<"$answer")" = Success ] && return
    echo "$1 $2: $answer"
    return 1
}
service() { echo '{"metadata":{"name":"'"$1"'"},"spec":{'"$2"'}}'; }

t_validation_services() {
    local members=1
    cluster 1
    refused POST $ns/services "$(service a '"ports":[{"port":1,"nodePort":30001}]')" 422 \
        "spec.ports[0].nodePort: Forbidden: may not be used when \`type\` is 'ClusterIP'"
    accepted POST $ns/services "$(service b '"type":"NodePort","ports":[{"name":"t","port":53,"protocol":"TCP","nodePort":30053},
        {"name":"u","port":53,"protocol":"UDP","nodePort":30053}]')"
    refused POST $ns/services "$(service c '"type":"NodePort","ports":[{"port":53,"nodePort":30053}]')" 422 \
        'spec.ports[].nodePort: Invalid value: 30053: provided port is already allocated'
    refused POST $ns/services "$(service c '"type":"NodePort","ports":[{"name":"t","port":53,"nodePort":30054},
        {"name":"u","port":54,"nodePort":30054}]')" 422 'spec.ports[1].nodePort: Duplicate value: 30054'
    accepted POST $ns/services "$(service d '"type":"NodePort","ports":[{"name":"t","port":9,"protocol":"TCP"},
        {"name":"u","port":9,"protocol":"UDP"}]')"
    same "$(ask 1 GET $ns/services/d | jq '[.spec.ports[].nodePort]|unique|length')" 1
    # a change of type alone gives the node ports back
    accepted PATCH $ns/services/b '{"spec":{"type":"ClusterIP"}}' application/merge-patch+json
    same "$(ask 1 GET $ns/services/b | jq '[.spec.ports[].nodePort//empty]|length')" 0
    accepted POST $ns/services "$(service c '"type":"NodePort","ports":[{"port":53,"nodePort":30053}]')"
    accepted POST $ns/services "$(service l '"type":"LoadBalancer","externalTrafficPolicy":"Local","ports":[{"port":1}]')"
    same "$(ask 1 GET $ns/services/l | jq '.spec.healthCheckNodePort>=30000')" true
}

budget() {
    echo '{"metadata":{"name":"b"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"a":"b"}}}}'
}
pod() { echo '{"metadata":{"name":"'"$1"'","labels":{"a":"b"}},"spec":{"nodeName":"n","containers":[{"name":"c","image":"i"}]}}'; }

# Two evictions in one moment: one of them has to wait.
t_validation_evictions() {
    local members=1 i answers
    cluster 1
    eventually 20 ask 1 GET $ns/serviceaccounts/default >/dev/null
    accepted POST /apis/policy/v1/namespaces/default/poddisruptionbudgets "$(budget)"
    for i in 1 2; do
        accepted POST $ns/pods "$(pod "p$i")"
        accepted PATCH "$ns/pods/p$i/status" \
            '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}' application/merge-patch+json
    done
    one_allowed() {
        [ "$(ask 1 GET /apis/policy/v1/namespaces/default/poddisruptionbudgets/b | jq .status.disruptionsAllowed)" = 1 ]
    }
    eventually 20 one_allowed
    refused POST "$ns/pods/p1/eviction" '{"metadata":{"name":"p1"},"deleteOptions":{"preconditions":{"uid":"other"}}}' 409 \
        'Precondition failed'
    accepted POST "$ns/pods/p1/eviction" '{"metadata":{"name":"p1"},"deleteOptions":{"dryRun":["All"]}}'
    for i in 1 2; do send POST "$ns/pods/p$i/eviction" '{"metadata":{"name":"p'$i'"}}' >"$dir/answer$i" & done
    wait $(jobs -p | grep -v "$(cat "$dir/1/pid")")
    answers=$(jq -r .status "$dir"/answer[12] | sort | tr '\n' ' ')
    same "$answers" "Failure Success "
    same "$(jq -r 'select(.code==429).details.causes[0].reason' "$dir"/answer[12])" DisruptionBudget
}

t_validation_subresources() {
    local members=1 csr=/apis/certificates.k8s.io/v1/certificatesigningrequests
    cluster 1
    eventually 20 ask 1 GET $ns/serviceaccounts/default >/dev/null
    refused POST /apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews \
        '{"spec":{"user":"u","resourceAttributes":{"namespace":"kube-system","verb":"get","resource":"pods"}}}' 400 \
        'spec.resourceAttributes.namespace must match namespace: default'
    accepted POST /apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews \
        '{"spec":{"user":"u","resourceAttributes":{"namespace":"default","verb":"get","resource":"pods"}}}'
    # /approval takes the verdict and nothing else
    accepted POST $csr '{"metadata":{"name":"c"},"spec":{"request":"'"$(openssl req -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=x 2>/dev/null | base64 -w0)"'","signerName":"example.com/s","usages":["client auth"]}}'
    accepted PUT $csr/c/approval "$(ask 1 GET $csr/c | jq '.spec.signerName="example.com/other"|.status={"certificate":"AAAA","conditions":[{"type":"Approved","status":"True"}]}')"
    same "$(ask 1 GET $csr/c | jq -r '[.spec.signerName,.status.certificate//"none",.status.conditions[0].type]|join(" ")')" \
        "example.com/s none Approved"
    same "$(ask 1 GET $csr/c | jq '.status.conditions[0]|has("lastUpdateTime") and has("lastTransitionTime")')" true
    accepted PATCH $csr/c/status '{"status":{"conditions":[]}}' application/merge-patch+json
    same "$(ask 1 GET $csr/c | jq -r '.status.conditions[0].type')" Approved
    # binding
    accepted POST $ns/pods '{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}'
    accepted POST /api/v1/nodes '{"metadata":{"name":"n","labels":{"topology.kubernetes.io/zone":"z"}}}'
    refused POST $ns/pods/p/binding '{"metadata":{"name":"p"},"target":{"kind":"Pod"}}' 422 'target.name: Required value'
    refused POST $ns/pods/p/binding '{"metadata":{"name":"q"},"target":{"name":"n"}}' 400 'name in URL does not match'
    accepted POST $ns/pods/p/binding '{"metadata":{"name":"p"},"target":{"kind":"Node","name":"n"}}'
    same "$(ask 1 GET $ns/pods/p | jq -r '.spec.nodeName+" "+.metadata.labels["topology.kubernetes.io/zone"]')" "n z"
    refused POST $ns/pods/p/binding '{"metadata":{"name":"p"},"target":{"name":"n"}}' 409 'already assigned'
    # replicas belong to who last scaled; an apply that says otherwise is told
    accepted POST /apis/apps/v1/namespaces/default/replicasets '{"metadata":{"name":"r"},"spec":{"replicas":0,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}'
    accepted PATCH "/apis/apps/v1/namespaces/default/replicasets/r/scale?fieldManager=one&force=true" '{"spec":{"replicas":1}}' application/apply-patch+yaml
    refused PATCH "/apis/apps/v1/namespaces/default/replicasets/r/scale?fieldManager=two" '{"spec":{"replicas":2}}' 409 \
        'conflict with "one" with subresource "scale": .spec.replicas' application/apply-patch+yaml
    # ephemeral containers and resize take their part of the pod
    accepted PATCH $ns/pods/p/ephemeralcontainers \
        '{"metadata":{"labels":{"x":"y"}},"spec":{"ephemeralContainers":[{"name":"e","image":"i"}]}}' application/merge-patch+json
    same "$(ask 1 GET $ns/pods/p | jq -r '.spec.ephemeralContainers[0].name+" \(.metadata.labels.x)"')" "e null"
    accepted PATCH $ns/pods/p/resize \
        '{"spec":{"hostname":"h","ephemeralContainers":[]}}' application/merge-patch+json
    same "$(ask 1 GET $ns/pods/p | jq -r '"\(.spec.hostname) \(.spec.ephemeralContainers|length)"')" "null 1"
}

# One of each kind: created, read, written back, patched there and back, applied by somebody else, and refused when wrong.
t_validation_every_kind() { tabled every_kind; }
