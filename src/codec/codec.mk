libpintle_a_SOURCES += \
  src/codec/gzip.c src/codec/gzip.h \
  src/codec/json.c src/codec/json.h \
  src/codec/json_read.c \
  src/codec/json_write.c \
  src/codec/lz4.c src/codec/lz4.h \
  src/codec/pack.c src/codec/pack.h \
  src/codec/pretty.c src/codec/pretty.h \
  src/codec/yaml.c src/codec/yaml.h
