dist_man_MANS += \
  docs/man/pintle.1 \
  docs/man/pintle-agent.1 \
  docs/man/pintle-balance.1 \
  docs/man/pintle-cert.1 \
  docs/man/pintle-completion.1 \
  docs/man/pintle-history.1 \
  docs/man/pintle-kubeconfig.1 \
  docs/man/pintle-member.1 \
  docs/man/pintle-recover.1 \
  docs/man/pintle-reseal.1 \
  docs/man/pintle-server.1 \
  docs/man/pintle-snapshot.1 \
  docs/man/pintle-status.1 \
  docs/man/pintle-token.1 \
  docs/man/pintle-undelete.1 \
  docs/man/pintle-version.1

dist_doc_DATA = README.md CHANGELOG.md
EXTRA_DIST += \
  docs/api-coverage.md \
  docs/conformance.md \
  docs/architecture.md \
  docs/benchmarks.md \
  docs/developing.md \
  docs/operating.md \
  docs/reliability.md \
  docs/images \
  docs/threat-model.md \
  docs/internals \
  docs/sample

# Every option of --help stands in the manual page.
dist_check_SCRIPTS += docs/man/check-options
TESTS += docs/man/check-options
