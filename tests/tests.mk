# One cmocka program a module: tests/unit/test_<module>.c.
UNIT_TESTS = \
  tests/unit/test_base \
  tests/unit/test_store \
  tests/unit/test_json \
  tests/unit/test_yaml \
  tests/unit/test_schema

check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
