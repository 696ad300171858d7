libpintle_a_SOURCES += \
  src/auth/authn.h \
  src/auth/node_authz.h \
  src/auth/pki.c src/auth/pki.h src/auth/pki_impl.h \
  src/auth/rbac.h \
  src/auth/sa_token.h \
  src/auth/user.c src/auth/user.h
