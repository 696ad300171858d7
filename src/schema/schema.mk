SCHEMA_TABLES = \
  $(srcdir)/src/schema/tables/columns.tsv \
  $(srcdir)/src/schema/tables/defaults.tsv \
  $(srcdir)/src/schema/tables/descriptions.tsv \
  $(srcdir)/src/schema/tables/groups.tsv \
  $(srcdir)/src/schema/tables/objects.jsonl \
  $(srcdir)/src/schema/tables/operations.tsv \
  $(srcdir)/src/schema/tables/rbac.tsv \
  $(srcdir)/src/schema/tables/resources.tsv \
  $(srcdir)/src/schema/tables/selectable.tsv \
  $(srcdir)/src/schema/tables/strategies.tsv \
  $(srcdir)/src/schema/tables/types.tsv \
  $(srcdir)/src/schema/tables/validation.tsv

libpintle_a_SOURCES += src/schema/schema.c src/schema/schema.h src/schema/tables.h
nodist_libpintle_a_SOURCES += src/schema/tables.c
BUILT_SOURCES += src/schema/tables.c
CLEANFILES += src/schema/tables.c
EXTRA_DIST += src/schema/generate.py $(SCHEMA_TABLES)

src/schema/tables.c: $(srcdir)/src/schema/generate.py $(SCHEMA_TABLES)
	@$(MKDIR_P) src/schema
	$(AM_V_GEN)$(PYTHON3) $(srcdir)/src/schema/generate.py $(srcdir)/src/schema/tables $@
