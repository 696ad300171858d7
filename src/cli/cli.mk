bin_PROGRAMS += pintle
pintle_SOURCES = src/main.c
pintle_LDADD = $(PINTLE_LIBS)
