# Servers in network namespaces of their own, for jepsen/run and jepsen/hands. Sourced. Places 1 … N have the cluster's
# servers, place N + 1 is for one more that joins. A place keeps its address; whose id it has may change, see $dir/N/id.
# environment: JEPSEN_DIR, JEPSEN_NAME (at most 8 characters), JEPSEN_NET (10.220.0), JEPSEN_SERVERS (3), PINTLE
dir=$JEPSEN_DIR
name=${JEPSEN_NAME:-pj}
net=${JEPSEN_NET:-10.220.0}
servers=${JEPSEN_SERVERS:-3}
pintle=$PINTLE
all=$(seq -s ' ' "$servers")
spare=$((servers + 1))
places="$all $spare"
bridge=${name}0

ip_of() { echo "$net.$((10 + $1))"; }
in_ns() { local i=$1; shift; nsenter --net="/run/netns/$name-$i" "$@"; }

# ---- the network: a bridge, a namespace for each server ----

network_up() {
    local i
    ip link show "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
    ip link set "$bridge" up
    ip addr replace "$net.1/24" dev "$bridge"
    for i in $places; do
        ip netns add "$name-$i"
        ip link add "$name-v$i" type veth peer name eth0 netns "$name-$i"
        ip link set "$name-v$i" master "$bridge" up
        ip -n "$name-$i" addr add "$(ip_of "$i")/24" dev eth0
        ip -n "$name-$i" link set eth0 up
        ip -n "$name-$i" link set lo up
        in_ns "$i" nft -f - <<'NFT'
table inet jepsen {
    set blocked { type ipv4_addr; }
    chain loss { }
    chain input { type filter hook input priority 0; ip saddr @blocked drop; iifname "eth0" jump loss; }
}
NFT
    done
}

network_down() {
    local i
    for i in $(seq 9); do
        ip link del "$name-v$i" 2>/dev/null
        [ -e "/run/netns/$name-$i" ] && ip netns del "$name-$i"
    done
    ip link del "$bridge" 2>/dev/null
    true
}

# ---- servers: pids in $dir/N/pid; a data directory on a small file system of its own ----

running() { [ -s "$dir/$1/pid" ] && kill -0 "$(cat "$dir/$1/pid")" 2>/dev/null; }

certificates() {
    local i
    "$pintle" cert init --dir "$dir/pki"
    "$pintle" cert issue --ca-dir "$dir/pki" --dir "$dir/pki" --name admin --group system:masters
    for i in $places; do
        mkdir -p "$dir/$i/disk"
        mount -t tmpfs -o "size=${JEPSEN_DISK:-1g}" "$name-$i" "$dir/$i/disk"
        touch "$dir/$i/out"
    done
    for i in $all; do
        "$pintle" cert issue --ca-dir "$dir/pki" --dir "$dir/$i/pki" --name "$i" --server --ip "$(ip_of "$i")" --ca-key
        echo "$i" >"$dir/$i/id"
        rm "$dir/$i/out"
    done
}

# What tells a server who it is: its directory, a token, or else what the first members are told.
who_args() {
    local i=$1 j
    args=()
    if [ -s "$dir/$i/disk/data/server.json" ]; then
        :
    elif [ -s "$dir/$i/token" ]; then
        args=(--token "$(cat "$dir/$i/token")")
        for j in $places; do [ "$i" = "$j" ] || args+=(--join "https://$(ip_of "$j"):6443"); done
    else
        args=(--id "$(cat "$dir/$i/id")")
        for j in $all; do [ ! -s "$dir/$j/id" ] || args+=(--member "$(cat "$dir/$j/id")=$(ip_of "$j"):7443,$(ip_of "$j"):6443"); done
    fi
}

# Places with the file "out" have no server at present.
server_start() {
    local i=$1 args env=()
    running "$i" && return
    [ -e "$dir/$i/out" ] && return
    who_args "$i"
    [ -e "$dir/clock.so" ] && env=(env "LD_PRELOAD=$dir/clock.so:$dir/disk.so" "JEPSEN_CLOCK=$dir/$i/clock" \
        "PINTLE_FAULT_FILE=$dir/$i/fault")
    # No descriptor of ours is left open in it.
    setsid nsenter --net="/run/netns/$name-$i" "${env[@]}" "$pintle" server --data-dir "$dir/$i/disk/data" \
        --cert-dir "$dir/$i/pki" --listen "$(ip_of "$i"):6443" --peer-listen "$(ip_of "$i"):7443" "${args[@]}" \
        --snapshot-every "${JEPSEN_SNAPSHOT_EVERY:-1500}" >>"$dir/$i/log" 2>&1 </dev/null 3>&- 9>&- &
    echo $! >"$dir/$i/pid"
    disown
}

signal() { running "$1" && kill "-$2" "$(cat "$dir/$1/pid")"; true; }

gone() {
    local _
    for _ in $(seq "$2"); do
        running "$1" || return 0
        sleep 0.05
    done
    return 1
}

server_kill() {
    signal "$1" KILL
    gone "$1" 100
}

server_stop() {
    signal "$1" TERM
    gone "$1" 200 || { echo "server $1 does not end"; server_kill "$1"; }
}

# ---- disks and clocks ----

disk_fill() {
    head -c 4g /dev/zero >"$dir/$1/disk/filler" 2>/dev/null
    true
}
# disk_rule N RULE: see tests/fault/disk_fault.c; empty = a sound disk
disk_rule() { echo "$2" >"$dir/$1/fault.new" && mv "$dir/$1/fault.new" "$dir/$1/fault"; }
disk_free() { rm -f "$dir/$1/disk/filler"; }
# clock_set N SECONDS: the server's wall clock is off by so much
clock_set() { echo "$2" >"$dir/$1/clock.new" && mv "$dir/$1/clock.new" "$dir/$1/clock"; }

stage_down() {
    local i
    for i in $places; do
        touch "$dir/$i/out"
        signal "$i" CONT
        signal "$i" KILL
        gone "$i" 100
        umount -l "$dir/$i/disk" 2>/dev/null
    done
    network_down
}
