libpintle_a_SOURCES += \
  store/check.c \
  store/archive.c store/archive.h \
  store/backup.c store/backup.h \
  store/clock.c store/clock.h \
  store/command.c \
  store/events.c \
  store/format.h \
  store/frozen.c \
  store/inspect.c \
  store/internal.h \
  store/item.c store/item.h \
  store/members.c store/members.h \
  store/replica.c store/replica.h \
  store/ship.c store/ship.h \
  store/store.c store/store.h \
  store/tree.c store/tree.h \
  store/watch.c
