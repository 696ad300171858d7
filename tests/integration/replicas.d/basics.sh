t_three_servers_survive_any_one() {
    cluster 1 2 3
    local i
    put 1 a 1
    for i in 1 2 3; do
        end "$i" KILL
        eventually 10 put $((i % 3 + 1)) a "without-$i"
        server "$i"
        eventually 20 ready "$i"
        same "$(get "$i" a)" "without-$i"
    done
}
