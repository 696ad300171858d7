# One cmocka program a module: tests/unit/test_<module>.c.
UNIT_TESTS = \
  tests/unit/test_base \
  tests/unit/test_loop_uv

check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)

tests_unit_test_loop_uv_SOURCES = tests/unit/test_loop_uv.c tests/unit/loop_common.c tests/unit/loop_common.h
