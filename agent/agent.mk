libpintle_a_SOURCES += \
  agent/agent.c agent/agent.h \
  agent/cni/cni.c agent/cni/cni.h \
  agent/cri/cri.c agent/cri/cri.h \
  agent/files.c agent/files.h \
  agent/log_lines.c \
  agent/log_rotate.c agent/log_rotate.h \
  agent/logs.c agent/logs.h \
  agent/node.c agent/node.h agent/node_impl.h \
  agent/node_facts.c \
  agent/node_status.c \
  agent/pod.h \
  agent/pod_config.c \
  agent/pod_env.c \
  agent/pod_status.c \
  agent/pod_sync.c \
  agent/pull.c agent/pull.h \
  agent/summary.c agent/summary.h \
  agent/pods.c agent/pods.h \
  agent/probes/handler.c agent/probes/handler.h \
  agent/probes/probes.c agent/probes/probes.h \
  agent/proxy/proxy.c agent/proxy/proxy.h \
  agent/proxy/routes.c agent/proxy/routes.h \
  agent/proxy/rules.c agent/proxy/rules.h \
  agent/server.c agent/server.h \
  agent/volumes/downward.c \
  agent/volumes/emptydir.c \
  agent/volumes/fetch.c agent/volumes/fetch.h \
  agent/volumes/hostpath.c \
  agent/volumes/keys.c \
  agent/volumes/plan.c \
  agent/volumes/projected.c \
  agent/volumes/subpath.c agent/volumes/subpath.h \
  agent/volumes/tree.c \
  agent/volumes/volumes.c agent/volumes/volumes.h agent/volumes/volumes_impl.h \
  agent/volumes/writer.c

# The CRI messages are generated; generated code is not held to our warnings.
noinst_LIBRARIES += libpintlecri.a
nodist_libpintlecri_a_SOURCES = agent/cri/cri.pb-c.c agent/cri/cri.pb-c.h
libpintlecri_a_CFLAGS = -std=c11 -w
BUILT_SOURCES += agent/cri/cri.pb-c.c agent/cri/cri.pb-c.h
CLEANFILES += agent/cri/cri.pb-c.c agent/cri/cri.pb-c.h
EXTRA_DIST += agent/cri/cri.proto

agent/cri/cri.pb-c.c: agent/cri/cri.proto
	@$(MKDIR_P) agent/cri
	$(AM_V_GEN)$(PROTOC_C) --proto_path=$(top_srcdir)/agent/cri --c_out=agent/cri $(top_srcdir)/agent/cri/cri.proto
agent/cri/cri.pb-c.h: agent/cri/cri.pb-c.c

noinst_PROGRAMS += pintle-pause
pintle_pause_SOURCES = agent/pause/pause.c
pintle_pause_CFLAGS = -std=c11 -O2 -Wall -Wextra -Werror
pintle_pause_LDFLAGS = -static
pintle_pause_LDADD =
