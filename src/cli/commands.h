/* The subcommands; main.c's table lists them. Each returns the process's exit status: 0, 1 = it failed, 2 = wrong usage. */
#ifndef PINTLE_CLI_COMMANDS_H
#define PINTLE_CLI_COMMANDS_H

#include "cli/options.h"

extern const struct command command_server;
extern const struct command command_agent;
extern const struct command command_balance;
extern const struct command command_cert_init;
extern const struct command command_cert_issue;
extern const struct command command_kubeconfig;
extern const struct command command_snapshot_save;
extern const struct command command_snapshot_verify;
extern const struct command command_snapshot_restore;
extern const struct command command_snapshot_list;
extern const struct command command_recover;
extern const struct command command_history;
extern const struct command command_undelete;
extern const struct command command_reseal;
extern const struct command command_status;
extern const struct command command_member_list;
extern const struct command command_member_add;
extern const struct command command_member_remove;
extern const struct command command_member_promote;
extern const struct command command_member_demote;
extern const struct command command_member_transfer;
extern const struct command command_member_replace;
extern const struct command command_token_create;
extern const struct command command_token_list;
extern const struct command command_token_delete;
extern const struct command command_version;
extern const struct command command_completion;

/* NULL-terminated. */
extern const struct command *const commands[];

#endif
