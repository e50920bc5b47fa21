/*
 * A requester that does what it is told, one phase after the other:
 *
 *     control_session REPOSITORY ID STEP ...
 *
 * ID is the repository's, in hexadecimal digits.  Steps: begin, snapshot (begin
 * with one), identify, component=WRITER:COMPONENT[:PREVIOUS-STAMP], prepare,
 * ready, freeze, thaw, post-snapshot, copied, complete, abort, line (wait for a
 * line on standard input).  After each step a line is printed: its name, ok or a
 * sentence, and the state of each writer.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "base/err.h"
#include "src/writer/client.h"
#include "src/writer/metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const states[] = {
	[PART_NONE] = "none",     [PART_ABSENT] = "absent",
	[PART_TAKING] = "taking", [PART_FAILED] = "failed",
	[PART_GONE] = "gone",
};

static void
parse_id(const char *hex, uint8_t out[16])
{
	unsigned byte;
	int i;

	for (i = 0; i < 16 && sscanf(hex + 2 * i, "%2x", &byte) == 1; i++)
		out[i] = (uint8_t)byte;
}

static int
begin(struct client *c, const char *snapshot, struct err *e)
{
	static const char *const volumes[] = { "/", "/a b" };
	const struct round_begin b = {
		.kind = ROUND_BACKUP,
		.type = METADATA_INCREMENTAL,
		.set = "tests",
		.volume = volumes,
		.volumes = 2,
		.snapshot = snapshot,
		.partial_files = true,
		.window_s = 5,
		.answer_s = 3,
	};

	return client_begin(c, &b, e);
}

/* WRITER:COMPONENT[:PREVIOUS-STAMP] */
static int
component(struct client *c, const char *arg, struct err *e)
{
	static const uint8_t base[16] = { 1, 2, 3 };
	char *copy = strdup(arg);
	char *rest = copy;
	struct round_component k = { .type = METADATA_INCREMENTAL };
	int rc;

	k.writer = strsep(&rest, ":");
	k.component = strsep(&rest, ":");
	if (rest != NULL) {
		k.base_id = base;
		k.base_number = 7;
		k.previous_stamp = rest;
		k.previous_len = strlen(rest);
	}
	rc = client_component(c, &k, e);
	free(copy);
	return rc;
}

static int
freeze(struct client *c, struct err *e)
{
	bool vetoed = false;
	int rc = client_freeze(c, &vetoed, e);

	if (rc == 0 && vetoed)
		printf("vetoed ");
	return rc;
}

static int
complete(struct client *c, struct err *e)
{
	static const uint8_t id[16] = { 9 };
	const struct round_outcome o = {
		.writer = "shop",
		.component = "db",
		.succeeded = true,
	};

	return client_complete(c, id, 8, &o, 1, e);
}

static int
line(void)
{
	char text[100];

	return fgets(text, sizeof(text), stdin) != NULL ? 0 : -1;
}

static int
post_snapshot(struct client *c, struct err *e)
{
	return client_snapshot(c, NULL, 0, e);
}

static int
step(struct client *c, const char *s, struct err *e)
{
	static const struct {
		const char *name;
		int (*fn)(struct client *c, struct err *e);
	} phases[] = {
		{ "identify", client_identify },
		{ "prepare", client_prepare },
		{ "ready", client_ready },
		{ "freeze", freeze },
		{ "thaw", client_thaw },
		{ "post-snapshot", post_snapshot },
		{ "copied", client_copied },
		{ "complete", complete },
		{ "abort", client_abort },
	};
	size_t i;

	if (strcmp(s, "begin") == 0)
		return begin(c, NULL, e);
	if (strcmp(s, "snapshot") == 0)
		return begin(c, "tests", e);
	if (strncmp(s, "component=", 10) == 0)
		return component(c, s + 10, e);
	if (strcmp(s, "line") == 0)
		return line();
	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		if (strcmp(s, phases[i].name) == 0)
			return phases[i].fn(c, e);
	return err_set(e, ERR_USAGE, "no step %s", s);
}

static void
tell(struct client *c)
{
	const struct client_writers *w = client_writers(c);
	size_t i;

	for (i = 0; w != NULL && i < w->count; i++)
		printf(" %s=%s", w->v[i].name, states[w->v[i].state]);
	printf("\n");
}

int
main(int argc, char **argv)
{
	struct client *c = NULL;
	struct err e = { 0 };
	uint8_t id[16] = { 0 };
	bool live = false;
	int rc = 0;
	int i;

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 3)
		return 2;
	parse_id(argv[2], id);
	if (client_open(argv[1], id, NULL, &c, &live, &e) < 0) {
		printf("open %s\n", e.text);
		return 1;
	}
	printf("open %s\n", live ? "live" : "alone");
	for (i = 3; i < argc && rc == 0; i++) {
		printf("%s ", argv[i]);
		rc = step(c, argv[i], &e);
		printf("%s", rc == 0 ? "ok" : e.text);
		tell(c);
	}
	client_close(c);
	return rc == 0 ? 0 : 1;
}
