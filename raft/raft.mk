libpintle_a_SOURCES += \
  raft/blocks.c raft/blocks.h \
  raft/compact.c \
  raft/entries.c raft/entries.h \
  raft/frame.c raft/frame.h \
  raft/members.c \
  raft/health.c raft/health.h \
  raft/log.c raft/log.h \
  raft/meta.c raft/meta.h \
  raft/node.c raft/node.h raft/node_impl.h \
  raft/offline.c raft/offline.h \
  raft/open.c \
  raft/read.c \
  raft/receive.c \
  raft/resync.c \
  raft/secure.c raft/secure.h \
  raft/segment.c raft/segment.h \
  raft/send.c \
  raft/snapshot.c raft/snapshot.h \
  raft/step.c \
  raft/testify.c \
  raft/transport.c raft/transport.h \
  raft/turn.c \
  raft/verify.c \
  raft/wire.h \
  raft/testimony.c raft/testimony.h
