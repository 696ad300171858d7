libpintle_a_SOURCES += \
  src/auth/authn.c src/auth/authn.h \
  src/auth/join_token.c src/auth/join_token.h \
  src/auth/jwt.c src/auth/jwt.h \
  src/auth/node_authz.c src/auth/node_authz.h \
  src/auth/pki.c src/auth/pki.h src/auth/pki_impl.h \
  src/auth/rbac.c src/auth/rbac.h src/auth/rbac_impl.h src/auth/rbac_rules.c \
  src/auth/sa_token.c src/auth/sa_token.h \
  src/auth/sealer.c src/auth/sealer.h \
  src/auth/token_file.c src/auth/token_file.h \
  src/auth/user.c src/auth/user.h
