libpintle_a_SOURCES += \
  src/controllers/runtime.c src/controllers/runtime.h
