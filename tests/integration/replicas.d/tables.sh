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
