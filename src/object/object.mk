libpintle_a_SOURCES += \
  src/object/apply.c src/object/apply_kubectl.c src/object/apply_kubectl.h src/object/apply.h \
  src/object/check.c src/object/check.h \
  src/object/convert.c src/object/convert.h \
  src/object/defaults.c src/object/defaults.h \
  src/object/defaults_kinds.c src/object/defaults_kinds.h \
  src/object/diff.c src/object/diff.h \
  src/object/fieldset.c src/object/fieldset.h \
  src/object/intstr.c src/object/intstr.h \
  src/object/meta.c src/object/meta.h \
  src/object/names.c \
  src/object/patch.c src/object/patch.h \
  src/object/patch_json.c \
  src/object/path.c src/object/path.h \
  src/object/print.c src/object/print.h \
  src/object/print_cell.c src/object/print_cell.h \
  src/object/print_kinds.c \
  src/object/print_pod.c \
  src/object/protobuf.c src/object/protobuf.h src/object/protobuf_impl.h src/object/protobuf_write.c \
  src/object/quantity.c src/object/quantity.h \
  src/object/selector.c src/object/selector.h \
  src/object/selector_parse.c src/object/selector_parse.h \
  src/object/warnings.c src/object/warnings.h \
  src/object/validate.c src/object/validate.h \
  src/object/validate_checks.c \
  src/object/validate_container.c \
  src/object/validate_certificates.c \
  src/object/validate_definitions.c \
  src/object/validate_devices.c \
  src/object/validate_resources.c \
  src/object/validate_extend.c \
  src/object/validate_jobs.c \
  src/object/validate_kinds.c \
  src/object/validate_meta.c \
  src/object/validate_network.c \
  src/object/validate_placement.c \
  src/object/validate_pod.c \
  src/object/validate_podsub.c \
  src/object/validate_policy.c \
  src/object/validate_rules.h \
  src/object/validate_storage.c \
  src/object/validate_values.c \
  src/object/validate_volumes.c \
  src/object/validate_workloads.c
