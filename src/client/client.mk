libpintle_a_SOURCES += \
  src/client/client.c src/client/client.h \
  src/client/events.c src/client/events.h \
  src/client/local.c src/client/local.h \
  src/client/path.c src/client/path.h
