/*
 * restore_writers - `asof restore GEN --writer W[:C]`.
 */
#ifndef ASOF_CLI_RESTORE_WRITERS_H
#define ASOF_CLI_RESTORE_WRITERS_H

struct cli;
struct err;
struct place;

/* ERR_USAGE when options are given that only go with --writer, or with none. */
int restore_writers_check(const struct cli *c, struct err *e);

/* The exit code, or -1 with *e. */
int restore_writers(struct cli *c, struct place *p, struct err *e);

#endif
