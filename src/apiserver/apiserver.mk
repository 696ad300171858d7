libpintle_a_SOURCES += \
  src/apiserver/api.h \
  src/apiserver/authz.c \
  src/apiserver/body.c src/apiserver/body.h \
  src/apiserver/bootstrap.c \
  src/apiserver/componentstatus.c \
  src/apiserver/delete.c \
  src/apiserver/derived.c src/apiserver/derived.h \
  src/apiserver/discovery.c \
  src/apiserver/encode.c \
  src/apiserver/filter.c src/apiserver/filter.h \
  src/apiserver/forward.c \
  src/apiserver/evict.c \
  src/apiserver/history.c \
  src/apiserver/internal.h \
  src/apiserver/issuer.c \
  src/apiserver/join.c \
  src/apiserver/kv.c \
  src/apiserver/members.c \
  src/apiserver/negotiate.c \
  src/apiserver/nodeproxy.c src/apiserver/nodeproxy.h \
  src/apiserver/nonresource.c src/apiserver/nonresource.h \
  src/apiserver/openapi.c src/apiserver/openapi.h src/apiserver/openapi_impl.h \
  src/apiserver/openapi_paths.c src/apiserver/openapi_proto.c \
  src/apiserver/openapi_schema.c src/apiserver/openapi_text.c \
  src/apiserver/operations.c \
  src/apiserver/options.c src/apiserver/options.h \
  src/apiserver/output.c src/apiserver/output.h \
  src/apiserver/past.c src/apiserver/past.h \
  src/apiserver/pipeline.c \
  src/apiserver/podsub.c src/apiserver/podsub.h \
  src/apiserver/proxy.c \
  src/apiserver/quorum.c \
  src/apiserver/relay.c src/apiserver/relay.h \
  src/apiserver/read.c \
  src/apiserver/reply.c \
  src/apiserver/request.h \
  src/apiserver/review.c \
  src/apiserver/route.c \
  src/apiserver/scale.c \
  src/apiserver/seal.c src/apiserver/seal.h \
  src/apiserver/snapshot.c \
  src/apiserver/special.c src/apiserver/special.h \
  src/apiserver/strategy.c src/apiserver/strategy.h \
  src/apiserver/strategy_pod.c \
  src/apiserver/strategy_service.c \
  src/apiserver/strategy_sub.c \
  src/apiserver/token.c \
  src/apiserver/tokens.c \
  src/apiserver/watch.c \
  src/apiserver/write.c src/apiserver/write.h
