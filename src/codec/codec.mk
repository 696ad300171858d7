libpintle_a_SOURCES += \
  src/codec/json.h \
  src/codec/yaml.h
