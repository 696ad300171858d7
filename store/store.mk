libpintle_a_SOURCES += \
  store/command.c \
  store/format.h \
  store/frozen.c \
  store/internal.h \
  store/item.c store/item.h \
  store/members.c store/members.h \
  store/replica.c store/replica.h \
  store/store.c store/store.h \
  store/tree.c store/tree.h \
  store/watch.c
