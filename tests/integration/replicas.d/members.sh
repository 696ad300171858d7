# Growing, shrinking, replacing: membership as an operator sees it.

# token N [OPTIONS...]: a join token, made by asking server N
token() { local i=$1; shift; admin token create --server "$(address "$i"):6443" "$@" | head -n 1; }
# joins N TOKEN [OPTIONS...]: starts server N, which is none yet; it asks the servers of $ask (1)
joins() {
    local i=$1 token=$2 j args=()
    shift 2
    mkdir -p "$dir/$i"
    for j in ${ask-1}; do args+=(--join "https://$(address "$j"):6443"); done
    "$PINTLE" server --token "$token" --data-dir "$dir/$i/data" --cert-dir "$dir/$i/pki" --listen "$(address "$i"):6443" \
        --peer-listen "$(address "$i"):7443" "${args[@]}" "$@" >>"$dir/$i/log" 2>&1 &
    echo $! >"$dir/$i/pid"
}
# again N [OPTIONS...]: starts a server that was there before; its data directory says who it is
again() {
    local i=$1
    shift
    "$PINTLE" server --data-dir "$dir/$i/data" --cert-dir "$dir/$i/pki" --listen "$(address "$i"):6443" \
        --peer-listen "$(address "$i"):7443" "$@" >>"$dir/$i/log" 2>&1 &
    echo $! >"$dir/$i/pid"
}
# member N [-o...]: `pintle member ...` through server N
member() { local i=$1; shift; admin member "$@" --server "$(address "$i"):6443"; }
members_json() { admin member list --output json --server "$(address "$1"):6443"; }
# role N ID: what server N says of a member's role
role() { members_json "$1" | jq -r ".members[] | select(.id == $2) | .role"; }
voters() { members_json "$1" | jq '[.members[] | select(.role == "voter")] | length'; }
has_voters() { [ "$(voters "$1")" = "$2" ]; }
is_role() { [ "$(role "$1" "$2")" = "$3" ]; }
id_of() { jq .id "$dir/$1/data/server.json"; }
# one_member N: starts the first member of a cluster, with what it needs to admit others
one_member() {
    pki "$1"
    cp "$dir/pki/ca.key" "$dir/$1/pki/"
    members=$1 server "$1"
    eventually 30 ready "$1"
    eventually 30 ask "$1" GET /api/v1/namespaces/kube-system
}
# grown N...: a cluster of these, the first one alone to begin with
grown() {
    local first=$1 i t
    one_member "$first"
    t=$(token "$first")
    shift
    for i in "$@"; do # one after the other: their ids are their numbers
        ask=$first joins "$i" "$t"
        eventually 30 ready "$i" || { for i in "$first" "$i"; do tail -n 5 "$dir/$i/log"; done; false; }
    done
    eventually 30 has_voters "$first" $(($# / 2 * 2 + 1))
}
lead() { members_json "$1" | jq .leader; }

t_one_grows_to_three_to_five() {
    local t i
    one_member 1
    put 1 a 1
    t=$(token 1)
    joins 2 "$t"
    eventually 20 ready 2
    eventually 10 is_role 1 2 standby
    joins 3 "$t"
    eventually 20 has_voters 1 3
    ask="2 3" joins 4 "$t"
    ask="3" joins 5 "$t"
    eventually 20 has_voters 1 5
    for i in 1 2 3 4 5; do same "$(get "$i" a)" 1; done
    # All agree who is there, and the first ones may go.
    same "$(members_json 5 | jq -c '[.members[].id]')" "[1,2,3,4,5]"
    reached() { [ "$(ask 4 GET /api/v1/namespaces/default/endpoints/kubernetes | jq '[.subsets[].addresses[]] | length')" = 5 ]; }
    eventually 20 reached
    end 1 KILL
    end 2 KILL
    eventually 10 put 4 a 2
    # Nobody needs to be told again who it is.
    end 5
    again 5
    eventually 20 ready 5
    same "$(get 5 a)" 2
    again 1
    again 2
    eventually 20 ready 1 2
    same "$(get 1 a)" 2
}

t_join_while_the_leader_dies() {
    local t l other
    grown 1 2 3
    for i in 2 3; do [ -s "$dir/$i/pki/ca.key" ]; done # whoever leads can admit
    t=$(token 1)
    l=$(lead 1)
    other=$((l % 3 + 1))
    ask=$other joins 4 "$t"
    end "$l" KILL
    eventually 30 ready 4
    same "$(id_of 4)" 4
    same "$(members_json 4 | jq '.members | length')" 4
    # Killed in the middle of joining itself, it goes on where it was: no second member.
    ask=$other joins 5 "$t"
    sleep 0.05
    end 5 KILL
    ask=$other joins 5 "$t"
    eventually 30 ready 5
    same "$(id_of 5)" 5
    same "$(members_json 5 | jq '.members | length')" 5
}

t_join_is_refused() {
    local t out
    one_member 1
    t=$(token 1)
    # refused TOKEN TEXT: joining with it fails, and says so
    refused() {
        rm -rf "$dir/9"
        out=$("$PINTLE" server --join "https://$(address 1):6443" --token "$1" --data-dir "$dir/9/data" --cert-dir "$dir/9/pki" \
            --listen "$(address 9):6443" --peer-listen "$(address 9):7443" --join-timeout 20 2>&1) && return 1
        has "$out" "$2"
    }
    # another authority: the token is not even shown
    refused "${t%.*}.0123456789abcdef0123456789abcdef" "The token was not shown"
    lacks "$(cat "$dir/1/log")" "bootstrap token"
    refused "${t%.*}" "want ID.SECRET.AUTHORITY"
    # a wrong secret
    refused "${t%%.*}.aaaaaaaaaaaaaaaa.${t##*.}" "refuses the token (401)"
    # made for nodes
    refused "$(token 1 --usage node)" "refuses the token (403)"
    # expired; it is removed, too
    local short
    short=$(token 1 --ttl 1s)
    sleep 2
    refused "$short" "refuses the token (401)"
    eventually 30 eval '! admin token list --server "$(address 1):6443" | grep -q "${short%%.*}"'
    # deleted
    admin token delete "${t%%.*}" --server "$(address 1):6443"
    refused "$t" "refuses the token (401)"
    same "$(members_json 1 | jq '.members | length')" 1
    # Who has no ca.key says so.
    local good
    good=$(token 1)
    end 1
    rm "$dir/1/pki/ca.key"
    again 1
    eventually 20 ready 1
    refused "$good" "it has no $dir/1/pki/ca.key"
    # Guessing is slowed down.
    eventually 5 eval '[ "$(curl -s -o /dev/null -w "%{http_code}" --cacert "$dir/pki/ca.crt" -X POST -H "Authorization: Bearer abcdef.0123456789abcdef" \
        "https://$(address 1):6443/pintle/v1/join")" = 429 ]'
}

t_member_is_removed_and_comes_back_as_another() {
    local t
    grown 1 2 3
    put 1 a 1
    member 1 remove 3
    eventually 10 exited 3
    has "$(cat "$dir/3/log")" "was removed from the cluster"
    same "$(members_json 1 | jq -c '[.members[].id]')" "[1,2]"
    put 1 a 2
    t=$(token 1)
    rm -r "$dir/3"
    joins 3 "$t"
    eventually 20 ready 3
    same "$(id_of 3)" 4
    eventually 20 has_voters 1 3
    # The leader can be removed as well: it hands over first.
    local l
    l=$(lead 1)
    member 1 remove "$l"
    same "$(members_json 2 | jq '.members | length')" 2
}

t_lost_voter_is_replaced() {
    local t
    one_member 1
    end 1
    again 1 --replace-after 3
    eventually 20 ready 1
    t=$(token 1)
    joins 2 "$t" --replace-after 3
    joins 3 "$t" --replace-after 3
    eventually 20 has_voters 1 3
    joins 4 "$t" --replace-after 3
    eventually 20 is_role 1 4 standby
    end 2 KILL
    rm -r "$dir/2/data"
    eventually 20 is_role 1 4 voter
    eventually 10 has_voters 1 3
    put 1 a 1
    # By hand, without waiting.
    rm -r "$dir/2"
    joins 5 "$t" --replace-after 3
    eventually 20 is_role 1 5 standby
    end 3 KILL
    member 1 replace 3
    eventually 10 is_role 1 5 voter
    same "$(members_json 1 | jq '[.members[] | select(.id == 3)] | length')" 0
    put 1 a 2
}

t_leadership_moves_without_a_failed_write() {
    local i n=0 l
    grown 1 2 3
    put 1 load 0
    # Each server is written to all the time, while leadership goes round.
    for i in 1 2 3; do
        (while [ ! -e "$dir/stop" ]; do
            [ -d "$dir" ] || exit 0
            n=$((n + 1))
            ask "$i" PATCH /api/v1/namespaces/default/configmaps/load -H 'Content-Type: application/merge-patch+json' \
                -d "{\"data\":{\"from-$i\":\"$n\"}}" >"$dir/answer-$i" 2>&1 || cat "$dir/answer-$i" >>"$dir/failed"
            echo >>"$dir/written-$i"
        done) &
    done
    local rv=0
    for l in 2 3 1 2 3 1 2 3 1; do
        member 1 transfer-leader "$l" || rv=1
        sleep 0.3
    done
    member 2 transfer-leader || rv=1
    touch "$dir/stop"
    sleep 1
    wc -l "$dir"/written-*
    [ ! -s "$dir/failed" ] || { sort "$dir/failed" | uniq -c; rv=1; }
    [ $rv = 0 ]
    for i in 1 2 3; do [ "$(wc -l <"$dir/written-$i")" -gt 20 ]; done
}

t_member_is_demoted_and_promoted() {
    local f
    grown 1 2 3 4 5
    f=$(($(lead 1) % 5 + 1))
    member 1 demote "$f"
    is_role 1 "$f" standby
    has "$(member 1 list)" "demoted by hand"
    member 1 promote "$f"
    is_role 1 "$f" voter
    ! member 1 promote 77
    ! member 1 remove 77
}

# A replica that comes back elsewhere is found again by everybody.
t_member_comes_back_at_another_address() {
    grown 1 2 3
    put 1 a 1
    end 2
    # another address, same data
    "$PINTLE" server --data-dir "$dir/2/data" --cert-dir "$dir/2/pki" --listen "$(address 12):6443" --peer-listen "$(address 12):7443" \
        >>"$dir/2/log" 2>&1 &
    echo $! >"$dir/2/pid"
    eventually 20 eval '[ "$(members_json 1 | jq -r ".members[] | select(.id == 2) | .api + .peer")" = "$(address 12):6443$(address 12):7443" ]'
    end 1 KILL
    eventually 10 put 3 a 2
    again 1
    eventually 20 eval '[ "$(get 1 a)" = 2 ]'
    eventually 40 eval 'ask 1 GET /api/v1/namespaces/default/endpoints/kubernetes | grep -q "$(address 12)"'
}

# The first members' way, with an identity of their own; then an id that does not fit.
t_data_directory_says_who_it_is() {
    local out
    cluster 1 2 3
    end 2
    out=$(again 2 --id 3; wait $!) || true
    sleep 1
    has "$(cat "$dir/2/log")" "belongs to member 2, not to --id 3"
    again 2
    eventually 20 ready 2
    put 2 a 1
}

# Two nodes and a witness: any one of the three may go, and the witness keeps next to nothing.
t_two_nodes_and_a_witness() {
    local t l other
    one_member 1
    put 1 a 1
    t=$(token 1)
    joins 2 "$t"
    eventually 20 ready 2
    joins 3 "$t" --witness
    eventually 30 has_voters 1 3
    same "$(members_json 1 | jq -r '.members[] | select(.witness) | .id')" 3
    eventually 10 sh -c "[ \"\$(curl -sk https://$(address 3):6443/healthz)\" = ok ]"
    same "$(curl -sk -o /dev/null -w '%{http_code}' "https://$(address 3):6443/metrics")" 403
    same "$(metric 3 pintle_raft_is_leader)" 0
    has "$(curl -sk "https://$(address 3):6443/api")" "this is a witness"
    [ ! -e "$dir/3/pki/ca.key" ] && [ ! -e "$dir/3/pki/sa.key" ]
    for _ in 1 2 3; do
        l=$(lead 1)
        other=$((3 - l))
        end "$l" KILL
        eventually 20 put "$other" a "without-$l"
        again "$l"
        eventually 20 ready "$l"
        same "$(get "$l" a)" "without-$l"
    done
    end 3 KILL
    eventually 20 put 1 a no-witness
    again 3
    eventually 20 has_voters 1 3
    [ "$(du -sm "$dir/3/data" | cut -f1)" -le 32 ]
}
