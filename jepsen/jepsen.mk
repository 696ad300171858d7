# Histories and checkers, used by real runs, the simulator and unit tests. Not installed.
noinst_LIBRARIES += libjepsen.a
libjepsen_a_SOURCES = \
  jepsen/check.h \
  jepsen/check_lease.c \
  jepsen/check_linear.c \
  jepsen/check_set.c \
  jepsen/check_txn.c \
  jepsen/check_watch.c \
  jepsen/history.c \
  jepsen/history.h \
  jepsen/history_read.c \
  jepsen/history_write.c \
  jepsen/verdict.c
