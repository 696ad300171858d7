bin_PROGRAMS += pintle
pintle_SOURCES = \
  src/main.c \
  src/cli/agent.c \
  src/cli/archive.c src/cli/archive.h \
  src/cli/balance.c \
  src/cli/cert.c \
  src/cli/commands.h \
  src/cli/health.c src/cli/health.h \
  src/cli/identity.c src/cli/identity.h \
  src/cli/join.c src/cli/join.h \
  src/cli/fresh.c src/cli/fresh.h \
  src/cli/member.c \
  src/cli/history.c \
  src/cli/options.c src/cli/options.h \
  src/cli/recover.c \
  src/cli/reseal.c \
  src/cli/remote.c src/cli/remote.h \
  src/cli/server.c \
  src/cli/snapshot.c \
  src/cli/status.c \
  src/cli/token.c src/cli/token.h \
  src/cli/version.c
pintle_LDADD = $(PINTLE_LIBS)
