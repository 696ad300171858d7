# One cmocka program a module: tests/unit/test_<module>.c. One line each, so that changes merge.
UNIT_TESTS =
UNIT_TESTS += tests/unit/test_base
UNIT_TESTS += tests/unit/test_store
UNIT_TESTS += tests/unit/test_history
UNIT_TESTS += tests/unit/test_diff
UNIT_TESTS += tests/unit/test_state_sim
UNIT_TESTS += tests/unit/test_backup
UNIT_TESTS += tests/unit/test_loop_uv
UNIT_TESTS += tests/unit/test_loop_sim
UNIT_TESTS += tests/unit/test_json
UNIT_TESTS += tests/unit/test_yaml
UNIT_TESTS += tests/unit/test_schema
UNIT_TESTS += tests/unit/test_meta
UNIT_TESTS += tests/unit/test_quantity
UNIT_TESTS += tests/unit/test_selector
UNIT_TESTS += tests/unit/test_check
UNIT_TESTS += tests/unit/test_defaults
UNIT_TESTS += tests/unit/test_patch
UNIT_TESTS += tests/unit/test_print
UNIT_TESTS += tests/unit/test_raft_log
UNIT_TESTS += tests/unit/test_raft_guards
UNIT_TESTS += tests/unit/test_raft_sim
UNIT_TESTS += tests/unit/test_members
UNIT_TESTS += tests/unit/test_raft_members
UNIT_TESTS += tests/unit/test_raft_uv
UNIT_TESTS += tests/unit/test_sealer
UNIT_TESTS += tests/unit/test_clock
UNIT_TESTS += tests/unit/test_seal
UNIT_TESTS += tests/unit/test_raft_testimony
UNIT_TESTS += tests/unit/test_raft_flips
UNIT_TESTS += tests/unit/test_raft_disk
UNIT_TESTS += tests/unit/test_validate
UNIT_TESTS += tests/unit/test_kinds
UNIT_TESTS += tests/unit/test_net
UNIT_TESTS += tests/unit/test_net_raw
UNIT_TESTS += tests/unit/test_websocket
UNIT_TESTS += tests/unit/test_h2_streams
UNIT_TESTS += tests/unit/test_chunkq
UNIT_TESTS += tests/unit/test_net_sim
UNIT_TESTS += tests/unit/test_apply
UNIT_TESTS += tests/unit/test_auth
UNIT_TESTS += tests/unit/test_convert
UNIT_TESTS += tests/unit/test_protobuf
UNIT_TESTS += tests/unit/test_rbac
UNIT_TESTS += tests/unit/test_object_random
UNIT_TESTS += tests/unit/test_node_authz
UNIT_TESTS += tests/unit/test_agent_node
UNIT_TESTS += tests/unit/test_agent_logs
UNIT_TESTS += tests/unit/test_agent_probes
UNIT_TESTS += tests/unit/test_agent_pull
UNIT_TESTS += tests/unit/test_agent_volumes
UNIT_TESTS += tests/unit/test_client_servers

UNIT_TESTS += tests/unit/test_proxy_rules
UNIT_TESTS += tests/unit/test_encodings
UNIT_TESTS += tests/unit/test_openapi
UNIT_TESTS += tests/unit/test_corpora
UNIT_TESTS += tests/unit/test_warnings
UNIT_TESTS += tests/unit/test_tables
UNIT_TESTS += tests/unit/test_rules

check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

# A command whose output is lost fails.
dist_check_SCRIPTS += tests/tools/check-output
TESTS += tests/tools/check-output

tests_unit_test_kinds_CPPFLAGS = $(AM_CPPFLAGS) -DKINDS_FILE='"$(abs_top_srcdir)/tests/data/kinds.jsonl"'
EXTRA_DIST += tests/data/kinds.jsonl
tests_unit_test_rules_CPPFLAGS = $(AM_CPPFLAGS) -DDATA='"$(abs_top_srcdir)/tests/data"'
tests_unit_test_tables_CPPFLAGS = $(AM_CPPFLAGS) -DDATA='"$(abs_top_srcdir)/tests/data"'
EXTRA_DIST += tests/data/defaults.tsv tests/data/columns.tsv tests/data/cells.tsv tests/data/selectors.tsv tests/data/strategies.tsv tests/data/rules.tsv tests/data/bootstrap.tsv tests/data/admission.tsv tests/data/operations.tsv tests/unit/table.h
EXTRA_DIST += tests/data/defaults.tsv tests/unit/table.h
tests_unit_test_corpora_CPPFLAGS = $(AM_CPPFLAGS) -DCORPORA='"$(abs_top_srcdir)/tests/fuzz/corpus"'
EXTRA_DIST += tests/data/defaults.tsv tests/data/columns.tsv tests/data/cells.tsv tests/data/selectors.tsv tests/unit/table.h
tests_unit_test_loop_uv_SOURCES = tests/unit/test_loop_uv.c tests/unit/loop_common.c tests/unit/loop_common.h
tests_unit_test_raft_members_SOURCES = tests/unit/test_raft_members.c tests/unit/raft_cluster.c tests/unit/raft_cluster.h
tests_unit_test_raft_sim_SOURCES = tests/unit/test_raft_sim.c tests/unit/raft_cluster.c tests/unit/raft_cluster.h
tests_unit_test_raft_disk_SOURCES = tests/unit/test_raft_disk.c tests/unit/raft_cluster.c tests/unit/raft_cluster.h
tests_unit_test_raft_testimony_SOURCES = tests/unit/test_raft_testimony.c tests/unit/raft_cluster.c tests/unit/raft_cluster.h
tests_unit_test_loop_sim_SOURCES = tests/unit/test_loop_sim.c tests/unit/loop_common.c tests/unit/loop_common.h
tests_unit_test_net_SOURCES = tests/unit/test_net.c tests/unit/net_common.c tests/unit/net_common.h
tests_unit_test_net_raw_SOURCES = tests/unit/test_net_raw.c tests/unit/net_common.c tests/unit/net_common.h
tests_unit_test_websocket_SOURCES = tests/unit/test_websocket.c tests/unit/net_common.c tests/unit/net_common.h
tests_unit_test_auth_SOURCES = tests/unit/test_auth.c tests/unit/net_common.c tests/unit/net_common.h
tests_unit_test_agent_logs_SOURCES = tests/unit/test_agent_logs.c tests/unit/net_common.c tests/unit/net_common.h
tests_unit_test_client_servers_SOURCES = tests/unit/test_client_servers.c tests/unit/net_common.c tests/unit/net_common.h

noinst_PROGRAMS += tests/bench/bench_raft
tests_bench_bench_raft_SOURCES = tests/bench/bench_raft.c
tests_bench_bench_raft_LDADD = $(PINTLE_LIBS)
noinst_PROGRAMS += tests/bench/bench_load
tests_bench_bench_load_SOURCES = tests/bench/bench_load.c
tests_bench_bench_load_LDADD = $(PINTLE_LIBS)

# Figures beside etcd's, measured in the same run: a table, and bench.json.
.PHONY: bench
bench: all
	PINTLE=$(abs_top_builddir)/pintle $(top_srcdir)/tests/bench/run $(abs_top_builddir)/bench.json

check_PROGRAMS += tests/sim/test_cluster
TESTS += tests/sim/test_cluster
tests_sim_test_cluster_SOURCES = tests/sim/test_cluster.c tests/sim/cluster.c tests/sim/cluster.h \
	tests/sim/fake_node.c tests/sim/fake_node.h tests/sim/load.c tests/sim/load.h

# libFuzzer programs, run by scripts/fuzz: one a parser that strangers reach.
EXTRA_DIST += tests/fuzz/corpus tests/fault
if FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_store tests/fuzz/fuzz_log tests/fuzz/fuzz_messages tests/fuzz/fuzz_snapshot tests/fuzz/fuzz_protobuf tests/fuzz/fuzz_object \
	tests/fuzz/fuzz_yaml tests/fuzz/fuzz_patch tests/fuzz/fuzz_selector tests/fuzz/fuzz_quantity \
	tests/fuzz/fuzz_time tests/fuzz/fuzz_jwt tests/fuzz/fuzz_rbac tests/fuzz/fuzz_json tests/fuzz/fuzz_apply \
	tests/fuzz/fuzz_backup tests/fuzz/fuzz_http1 tests/fuzz/fuzz_http2
tests_fuzz_fuzz_http1_SOURCES = tests/fuzz/fuzz_http1.c tests/fuzz/fuzz.h tests/fuzz/fuzz_server.h
tests_fuzz_fuzz_http1_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_http1_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_http2_SOURCES = tests/fuzz/fuzz_http2.c tests/fuzz/fuzz.h tests/fuzz/fuzz_server.h
tests_fuzz_fuzz_http2_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_http2_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_store_SOURCES = tests/fuzz/fuzz_store.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_store_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_store_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_log_SOURCES = tests/fuzz/fuzz_log.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_log_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_log_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_messages_SOURCES = tests/fuzz/fuzz_messages.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_messages_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_messages_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_snapshot_SOURCES = tests/fuzz/fuzz_snapshot.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_snapshot_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_snapshot_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_protobuf_SOURCES = tests/fuzz/fuzz_protobuf.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_protobuf_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_protobuf_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_object_SOURCES = tests/fuzz/fuzz_object.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_object_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_object_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_yaml_SOURCES = tests/fuzz/fuzz_yaml.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_yaml_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_yaml_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_patch_SOURCES = tests/fuzz/fuzz_patch.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_patch_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_patch_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_selector_SOURCES = tests/fuzz/fuzz_selector.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_selector_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_selector_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_quantity_SOURCES = tests/fuzz/fuzz_quantity.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_quantity_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_quantity_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_time_SOURCES = tests/fuzz/fuzz_time.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_time_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_time_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_jwt_SOURCES = tests/fuzz/fuzz_jwt.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_jwt_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_jwt_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_json_SOURCES = tests/fuzz/fuzz_json.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_json_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_json_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_apply_SOURCES = tests/fuzz/fuzz_apply.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_apply_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_apply_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_backup_SOURCES = tests/fuzz/fuzz_backup.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_backup_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_backup_LDADD = $(PINTLE_LIBS)
tests_fuzz_fuzz_rbac_SOURCES = tests/fuzz/fuzz_rbac.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_rbac_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_rbac_LDADD = $(PINTLE_LIBS)
endif

# What jepsen's histories and checkers are worth.
JEPSEN_TESTS = tests/unit/test_jepsen_history tests/unit/test_jepsen_linear tests/unit/test_jepsen_checkers
check_PROGRAMS += $(JEPSEN_TESTS)
TESTS += $(JEPSEN_TESTS)
tests_unit_test_jepsen_history_SOURCES = tests/unit/test_jepsen_history.c tests/unit/jepsen_common.h
tests_unit_test_jepsen_history_LDADD = libjepsen.a $(LDADD)
tests_unit_test_jepsen_linear_SOURCES = tests/unit/test_jepsen_linear.c tests/unit/jepsen_common.h
tests_unit_test_jepsen_linear_LDADD = libjepsen.a $(LDADD)
tests_unit_test_jepsen_checkers_SOURCES = tests/unit/test_jepsen_checkers.c tests/unit/jepsen_common.h
tests_unit_test_jepsen_checkers_LDADD = libjepsen.a $(LDADD)

check_PROGRAMS += tests/sim/test_jepsen
TESTS += tests/sim/test_jepsen
JEPSEN_SIM = tests/sim/direct.c tests/sim/direct.h tests/sim/jepsen_run.c tests/sim/jepsen_run.h tests/sim/hands_sim.c tests/sim/hands_sim.h \
	tests/sim/cluster.c tests/sim/cluster.h tests/sim/fake_node.c tests/sim/fake_node.h
tests_sim_test_jepsen_SOURCES = tests/sim/test_jepsen.c $(JEPSEN_SIM)
tests_sim_test_jepsen_LDADD = libjepsen.a $(LDADD)

# Builds that are broken on purpose, by the linker and not in the code: each must be caught.
JEPSEN_BROKEN = tests/sim/test_broken_stale tests/sim/test_broken_sync tests/sim/test_broken_g2 \
	tests/sim/test_broken_compare
check_PROGRAMS += $(JEPSEN_BROKEN)
TESTS += $(JEPSEN_BROKEN)
tests_sim_test_broken_stale_SOURCES = tests/sim/test_broken.c tests/sim/broken.h tests/sim/broken_stale.c \
	jepsen/stale_reads.c $(JEPSEN_SIM)
tests_sim_test_broken_stale_LDADD = libjepsen.a $(LDADD)
tests_sim_test_broken_stale_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=raft_node_read
tests_sim_test_broken_sync_SOURCES = tests/sim/test_broken.c tests/sim/broken.h tests/sim/broken_sync.c $(JEPSEN_SIM)
tests_sim_test_broken_sync_LDADD = libjepsen.a $(LDADD)
tests_sim_test_broken_sync_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=file_sync -Wl,--wrap=fs_open
noinst_PROGRAMS += tests/tools/snapshot_edit
tests_tools_snapshot_edit_SOURCES = tests/tools/snapshot_edit.c
tests_tools_snapshot_edit_LDADD = $(PINTLE_LIBS)
tests_sim_test_broken_g2_SOURCES = tests/sim/test_broken.c tests/sim/broken.h tests/sim/broken_g2.c $(JEPSEN_SIM)
tests_sim_test_broken_g2_LDADD = libjepsen.a $(LDADD)
tests_sim_test_broken_g2_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=raft_step
tests_sim_test_broken_compare_SOURCES = tests/sim/test_broken.c tests/sim/broken.h tests/sim/broken_compare.c $(JEPSEN_SIM)
tests_sim_test_broken_compare_LDADD = libjepsen.a $(LDADD)
tests_sim_test_broken_compare_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=replica_txn

check_PROGRAMS += tests/sim/test_takeover
TESTS += tests/sim/test_takeover
tests_sim_test_takeover_SOURCES = tests/sim/test_takeover.c tests/sim/cluster.c tests/sim/cluster.h \
	tests/sim/fake_node.c tests/sim/fake_node.h

check_PROGRAMS += tests/sim/test_controllers
TESTS += tests/sim/test_controllers
tests_sim_test_controllers_SOURCES = tests/sim/test_controllers.c tests/sim/cluster.c tests/sim/cluster.h \
	tests/sim/fake_node.c tests/sim/fake_node.h

check_PROGRAMS += tests/sim/test_backup
TESTS += tests/sim/test_backup
tests_sim_test_backup_SOURCES = tests/sim/test_backup.c tests/sim/cluster.c tests/sim/cluster.h \
	tests/sim/fake_node.c tests/sim/fake_node.h
noinst_PROGRAMS += tests/bench/bench_store
tests_bench_bench_store_SOURCES = tests/bench/bench_store.c
tests_bench_bench_store_LDADD = $(PINTLE_LIBS)

noinst_PROGRAMS += tests/bench/bench_backup
tests_bench_bench_backup_SOURCES = tests/bench/bench_backup.c
tests_bench_bench_backup_LDADD = $(PINTLE_LIBS)
