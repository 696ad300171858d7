libpintle_a_SOURCES += \
  scheduler/affinity.c \
  scheduler/cache.c scheduler/cache.h \
  scheduler/framework.h \
  scheduler/plugins.c \
  scheduler/ports.c \
  scheduler/resources.c \
  scheduler/scheduler.c scheduler/scheduler.h \
  scheduler/taints.c
