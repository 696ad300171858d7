libpintle_a_SOURCES += \
  src/object/apply.h \
  src/object/check.h \
  src/object/defaults.h \
  src/object/intstr.h \
  src/object/meta.h \
  src/object/patch.h \
  src/object/print.h \
  src/object/quantity.h \
  src/object/selector.h \
  src/object/validate.h
