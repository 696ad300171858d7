libpintle_a_SOURCES += \
  src/loop/loop.h \
  src/loop/sim.h
