libpintle_a_SOURCES += \
  raft/node.h
