libpintle_a_SOURCES += \
  src/loop/fs_real.c \
  src/loop/loop.c src/loop/loop.h \
  src/loop/loop_impl.h \
  src/loop/loop_sim.c \
  src/loop/loop_uv.c src/loop/loop_uv.h \
  src/loop/loop_uv_stream.c \
  src/loop/sim.h src/loop/sim_impl.h \
  src/loop/sim_disk.c \
  src/loop/sim_net.c \
  src/loop/timers.c src/loop/timers.h
