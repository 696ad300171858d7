libpintle_a_SOURCES += \
  src/net/chunkq.c src/net/chunkq.h \
  src/net/conn.c src/net/conn.h src/net/conn_impl.h \
  src/net/h1_server.c \
  src/net/h1_client.c src/net/h2_client.c \
  src/net/h2_guard.c src/net/h2_guard.h \
  src/net/h2_server.c \
  src/net/h2_session.c src/net/h2_session.h \
  src/net/http.h \
  src/net/http_call.c src/net/http_client.c src/net/http_client_impl.h \
  src/net/http_exchange.c \
  src/net/http_head.c src/net/http_head.h \
  src/net/http_server.c src/net/http_server_impl.h \
  src/net/tls.c src/net/tls.h src/net/tls_conn.c src/net/tls_impl.h \
  src/net/turn.c src/net/turn.h \
  src/net/websocket.c src/net/websocket.h
