libpintle_a_SOURCES += \
  src/controllers/builtin.h \
  src/controllers/deployment.c \
  src/controllers/disruption.c \
  src/controllers/endpoints.c \
  src/controllers/gc.c \
  src/controllers/mirror.c \
  src/controllers/namespace.c \
  src/controllers/nodelifecycle.c \
  src/controllers/owners.c src/controllers/owners.h \
  src/controllers/podutil.c src/controllers/podutil.h \
  src/controllers/protection.c \
  src/controllers/quota.c \
  src/controllers/replicaset.c \
  src/controllers/runtime.c src/controllers/runtime.h \
  src/controllers/serviceaccount.c \
  src/controllers/table.c
