libpintle_a_SOURCES += \
  src/net/conn.h \
  src/net/http.h \
  src/net/tls.h
