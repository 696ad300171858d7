libpintle_a_SOURCES += \
  src/admission/admission.c src/admission/admission.h \
  src/admission/limits.c src/admission/plugins.h src/admission/runtime_class.c
