libpintle_a_SOURCES += \
  src/base/arena.c src/base/arena.h \
  src/base/blob.c src/base/blob.h \
  src/base/buf.c src/base/buf.h \
  src/base/hash.c src/base/hash.h \
  src/base/list.h \
  src/base/log.c src/base/log.h \
  src/base/map.c src/base/map.h \
  src/base/mem.c src/base/mem.h \
  src/base/metrics.c src/base/metrics.h \
  src/base/slice.c src/base/slice.h \
  src/base/status.c src/base/status.h \
  src/base/text.c src/base/text.h \
  src/base/timefmt.c src/base/timefmt.h
