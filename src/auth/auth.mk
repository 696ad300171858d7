libpintle_a_SOURCES += \
  src/auth/authn.h \
  src/auth/rbac.h \
  src/auth/sa_token.h \
  src/auth/user.c src/auth/user.h
