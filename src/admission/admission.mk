libpintle_a_SOURCES += \
  src/admission/admission.c src/admission/admission.h
