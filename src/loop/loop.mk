libpintle_a_SOURCES += \
  src/loop/fs_real.c \
  src/loop/loop.c src/loop/loop.h \
  src/loop/loop_impl.h \
  src/loop/loop_uv.c src/loop/loop_uv.h \
  src/loop/loop_uv_stream.c \
  src/loop/sim.h \
  src/loop/timers.c src/loop/timers.h
