# One cmocka program a module: tests/unit/test_<module>.c.
UNIT_TESTS = \
  tests/unit/test_base \
  tests/unit/test_loop_uv \
  tests/unit/test_loop_sim

check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

tests_unit_test_loop_uv_SOURCES = tests/unit/test_loop_uv.c tests/unit/loop_common.c tests/unit/loop_common.h
tests_unit_test_loop_sim_SOURCES = tests/unit/test_loop_sim.c tests/unit/loop_common.c tests/unit/loop_common.h
