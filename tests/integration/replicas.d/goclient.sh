# Kubernetes' own Go library against three servers: protobuf, informers, server-side apply, leader election, a dead leader.

# config_of N: prints the file's name
config_of() {
    cat >"$dir/kubeconfig-$1" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://$(address "$1"):6443", certificate-authority: $dir/pki/ca.crt}}]
users: [{name: u, user: {client-certificate: $dir/pki/admin.crt, client-key: $dir/pki/admin.key}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
YAML
    echo "$dir/kubeconfig-$1"
}

# Built with what scripts/install-deps unpacked; the cache makes all but the first time quick.
build_goclient() {
    [ -e "$tools/go/ready" ] || { echo "there is no Go here: run scripts/install-deps --test"; return 1; }
    mkdir -p "$dir/gopath/src"
    cp -r "$here/goclient" "$dir/gopath/src/"
    GO111MODULE=off GOTOOLCHAIN=local GOFLAGS=-p=2 CGO_ENABLED=0 GOCACHE=$tools/go/cache GOROOT=$(readlink -f "$tools/go/usr/lib/go") \
        GOPATH=$dir/gopath:$tools/go/usr/share/gocode timeout 1500 "$tools/go/usr/lib/go/bin/go" build -o "$dir/goclient" goclient
}

t_go_client() {
    build_goclient
    cluster 1 2 3
    local dies others="" i
    dies=$(leader)
    for i in 1 2 3; do [ "$i" = "$dies" ] || others="$others $(config_of "$i")"; done
    mkfifo "$dir/in"
    exec 9<>"$dir/in"
    # shellcheck disable=SC2086 # a list of files
    (timeout 220 "$dir/goclient" $others "$(config_of "$dies")" <"$dir/in" >"$dir/out" 2>&1; echo "ended" >>"$dir/out") &
    eventually 100 grep -qE "^(READY TO KILL|ended)" "$dir/out" || { cat "$dir/out"; return 1; }
    end "$dies" KILL
    echo "LEADER KILLED" >&9
    eventually 100 grep -q "^ended" "$dir/out" || { cat "$dir/out"; return 1; }
    cat "$dir/out"
    grep -q '^ALL OK' "$dir/out"
}
