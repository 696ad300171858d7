libpintle_a_SOURCES += \
  src/codec/json.h \
  src/codec/yaml.h \
  src/codec/pack.c src/codec/pack.h
