# Histories, checkers, workloads and the nemesis, used by real runs, the simulator and unit tests. Not installed.
noinst_LIBRARIES += libjepsen.a
libjepsen_a_SOURCES = \
  jepsen/check.h \
  jepsen/check_lease.c \
  jepsen/check_linear.c \
  jepsen/check_members.c \
  jepsen/check_set.c \
  jepsen/check_txn.c \
  jepsen/check_watch.c \
  jepsen/drive.c \
  jepsen/drive.h \
  jepsen/history.c \
  jepsen/history.h \
  jepsen/history_read.c \
  jepsen/history_write.c \
  jepsen/nemesis.c \
  jepsen/nemesis.h \
  jepsen/verdict.c \
  jepsen/workload.h \
  jepsen/workload_append.c \
  jepsen/workload_deploy.c \
  jepsen/workload_lease.c \
  jepsen/workload_members.c \
  jepsen/workload_register.c \
  jepsen/workload_set.c \
  jepsen/workload_ttl.c \
  jepsen/workload_txn.c \
  jepsen/workload_watch.c \
  jepsen/workloads.c
EXTRA_DIST += jepsen/run jepsen/soak jepsen/hands jepsen/stage.sh jepsen/clock_shim.c tests/fault
noinst_PROGRAMS += jepsen/pintle-jepsen
jepsen_pintle_jepsen_SOURCES = jepsen/main.c jepsen/damage.c jepsen/damage.h jepsen/monitor.c jepsen/monitor.h jepsen/hands_shell.c jepsen/hands_shell.h \
  jepsen/report.c jepsen/report.h
jepsen_pintle_jepsen_LDADD = libjepsen.a $(PINTLE_LIBS)

# A server that is broken on purpose, to see it caught.
noinst_PROGRAMS += jepsen/pintle-stale
jepsen_pintle_stale_SOURCES = $(pintle_SOURCES) jepsen/stale_reads.c
jepsen_pintle_stale_LDADD = $(pintle_LDADD)
jepsen_pintle_stale_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=raft_node_read

# Real servers under real faults for SOAK_HOURS (4); needs root.
.PHONY: soak
soak: all
	PINTLE=$(abs_top_builddir)/pintle PINTLE_JEPSEN=$(abs_top_builddir)/jepsen/pintle-jepsen \
		$(top_srcdir)/jepsen/soak $(SOAK_HOURS)
