# What disks do to replicas, and people to data directories.

# says N TEXT: server N's log has it
says() { grep -q -e "$2" "$dir/$1/log"; }
# exited N: the server has ended by itself, with an error
exited() { ! running "$1"; }

t_data_directory_is_locked() {
    cluster 1 2 3
    local out
    out=$("$PINTLE" server --id 1 --data-dir "$dir/1/data" --cert-dir "$dir/1/pki" --listen "$(address 9):6443" --peer-listen "$(address 9):7443" \
        --member "1=$(address 9):7443,$(address 9):6443" 2>&1) && return 1
    echo "$out"
    [[ $out == *"is in use by another process"* ]]
    put 1 still works
    running 1
}

# A directory that was lost has forgotten its promises: the others refuse it, and it stays refused.
t_lost_data_directory_is_refused() {
    cluster 1 2 3
    put 1 a 1
    end 2 KILL
    rm -r "$dir/2/data"
    server 2
    eventually 10 exited 2
    tail -n 3 "$dir/2/log"
    says 2 'older than what member [13] confirmed'
    server 2
    eventually 10 exited 2
    tail -n 1 "$dir/2/log"
    says 2 'refused this data directory.*join as a new member'
    put 1 a 2
    same "$(get 3 a)" 2
}

# An image of the disk taken earlier and put back.
t_data_directory_set_back_is_refused() {
    cluster 1 2 3
    local i
    i=$(leader)
    put 1 a 1
    end "$i"
    cp -r "$dir/$i/data" "$dir/copy"
    server "$i"
    eventually 20 ready "$i"
    put "$i" a 2
    end "$i" KILL
    rm -r "$dir/$i/data"
    cp -r "$dir/copy" "$dir/$i/data"
    # Those who remember were restarted, too: their memory is on disk.
    end $((i % 3 + 1)) KILL
    server $((i % 3 + 1))
    server "$i"
    eventually 10 exited "$i"
    tail -n 3 "$dir/$i/log"
    says "$i" 'older than what member . confirmed'
    eventually 10 put $((i % 3 + 1)) a 3
}

# The same directory, copied, started beside its original under the same id: one of both goes.
t_twin_of_a_data_directory_is_refused() {
    cluster 1 2 3
    put 1 a 1
    end 3
    cp -r "$dir/3/data" "$dir/copy"
    server 3
    eventually 20 ready 3
    mkdir -p "$dir/4"
    "$PINTLE" server --id 3 --data-dir "$dir/copy" --cert-dir "$dir/3/pki" --listen "$(address 4):6443" --peer-listen "$(address 4):7443" \
        --member "1=$(address 1):7443,$(address 1):6443" --member "2=$(address 2):7443,$(address 2):6443" \
        --member "3=$(address 3):7443,$(address 3):6443" >"$dir/4/log" 2>&1 &
    echo $! >"$dir/4/pid"
    eventually 10 exited 4
    tail -n 3 "$dir/4/log"
    says 4 'in use twice'
    running 3
    put 3 a 2
}
