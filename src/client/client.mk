libpintle_a_SOURCES += \
  src/client/client.c src/client/client.h \
  src/client/events.c src/client/events.h \
  src/client/http.c src/client/http.h src/client/http_impl.h \
  src/client/http_informer.c \
  src/client/local.c src/client/local.h \
  src/client/path.c src/client/path.h \
  src/client/servers.c src/client/servers.h
