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
