/*
 * Lines are judged as they come, one at a time, as far as a line can be; what
 * needs the whole document (file sets named twice, mappings, what a schema
 * promises) is judged at `end`, in sorted order, so that a document of one
 * megabyte costs no more than sorting it.
 *
 * Words are copied into one block: what they hold is never longer than the
 * text, and the NUL behind each takes the place of the blank or newline.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/metadata.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/writer/grammar.h"
#include "src/writer/refuse.h"
#include "src/writer/value.h"
#include "src/writer/wildcard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A word of the language and what it stands for. */
struct term {
	const char *name;
	unsigned value;
};

static const struct term usages[] = {
	{ "bootable-system-state", USAGE_BOOTABLE_SYSTEM_STATE },
	{ "system-service", USAGE_SYSTEM_SERVICE },
	{ "user-data", USAGE_USER_DATA },
	{ "other", USAGE_OTHER },
	{ NULL, 0 },
};

static const struct term sources[] = {
	{ "transacted-database", SOURCE_TRANSACTED_DATABASE },
	{ "non-transacted-database", SOURCE_NON_TRANSACTED_DATABASE },
	{ "other", SOURCE_OTHER },
	{ NULL, 0 },
};

static const struct term levels[] = {
	{ "system", LEVEL_SYSTEM },
	{ "back-end", LEVEL_BACK_END },
	{ "front-end", LEVEL_FRONT_END },
	{ NULL, 0 },
};

static const struct term schemas[] = {
	{ "differential", SCHEMA_DIFFERENTIAL },
	{ "incremental", SCHEMA_INCREMENTAL },
	{ "exclusive", SCHEMA_EXCLUSIVE },
	{ "log", SCHEMA_LOG },
	{ "copy", SCHEMA_COPY },
	{ "timestamped", SCHEMA_TIMESTAMPED },
	{ "last-modify", SCHEMA_LAST_MODIFY },
	{ "lsn", SCHEMA_LSN },
	{ "new-target", SCHEMA_NEW_TARGET },
	{ "restore-with-move", SCHEMA_RESTORE_WITH_MOVE },
	{ "independent-system-state", SCHEMA_INDEPENDENT_SYSTEM_STATE },
	{ "rollforward-restore", SCHEMA_ROLLFORWARD_RESTORE },
	{ "restore-rename", SCHEMA_RESTORE_RENAME },
	{ "authoritative-restore", SCHEMA_AUTHORITATIVE_RESTORE },
	{ "parallel-restores", SCHEMA_PARALLEL_RESTORES },
	{ NULL, 0 },
};

static const struct term methods[] = {
	{ "restore-if-not-there", METHOD_RESTORE_IF_NOT_THERE },
	{ "restore-if-can-replace", METHOD_RESTORE_IF_CAN_REPLACE },
	{ "stop-restore-start", METHOD_STOP_RESTORE_START },
	{ "restore-to-alternate-location",
	  METHOD_RESTORE_TO_ALTERNATE_LOCATION },
	{ "restore-at-reboot", METHOD_RESTORE_AT_REBOOT },
	{ "restore-at-reboot-if-cannot-replace",
	  METHOD_RESTORE_AT_REBOOT_IF_CANNOT_REPLACE },
	{ "custom", METHOD_CUSTOM },
	{ "restore-stop-start", METHOD_RESTORE_STOP_START },
	{ NULL, 0 },
};

static const struct term events[] = {
	{ "never", EVENTS_NEVER },
	{ "if-replace-fails", EVENTS_IF_REPLACE_FAILS },
	{ "always", EVENTS_ALWAYS },
	{ NULL, 0 },
};

static const struct term component_types[] = {
	{ "database", COMPONENT_DATABASE },
	{ "file-group", COMPONENT_FILE_GROUP },
	{ NULL, 0 },
};

static const struct term answers[] = {
	{ "no", 0 },
	{ "yes", 1 },
	{ NULL, 0 },
};

static const struct term recoveries[] = {
	{ "log", 1 },
	{ NULL, 0 },
};

static const struct term backup_types[] = {
	{ "full", METADATA_FULL },
	{ "differential", METADATA_DIFFERENTIAL },
	{ "incremental", METADATA_INCREMENTAL },
	{ "log", METADATA_LOG },
	{ "copy", METADATA_COPY },
	{ NULL, 0 },
};

static const struct term *
find_term(const struct term *t, const char *name, size_t len)
{
	for (; t->name != NULL; t++)
		if (strlen(t->name) == len && memcmp(t->name, name, len) == 0)
			return t;
	return NULL;
}

static const char *
name_of(const struct term *t, unsigned value)
{
	while (t->name != NULL && t->value != value)
		t++;
	return t->name;
}

const char *
metadata_type_name(unsigned type)
{
	const char *name = name_of(backup_types, type);

	return name != NULL ? name : "none";
}

unsigned
metadata_type_parse(const char *name)
{
	const struct term *t = find_term(backup_types, name, strlen(name));

	return t != NULL ? t->value : 0;
}

bool
metadata_is_whole(unsigned type)
{
	return type == METADATA_FULL || type == METADATA_COPY;
}

/* --- a document while it is parsed ------------------------------------------ */

struct parser {
	struct metadata *m;
	struct grammar_line line;
	size_t number; /* of the line, from 1 */
	char *at;      /* where the next string goes */
	bool has_schema;
	bool ended;
};

static int
judge(const struct grammar_word *w, const char *fault, struct err *e)
{
	return fault == NULL ? 0 : grammar_refuse(w, fault, e);
}

/* A string for the document, which has room for what its lines hold. */
static const char *
keep(struct parser *p, const char *s)
{
	char *copy = p->at;
	size_t len = strlen(s) + 1;

	memcpy(copy, s, len);
	p->at += len;
	return copy;
}

static int
want_words(const struct parser *p, size_t n, const char *wants, struct err *e)
{
	if (p->line.count >= n)
		return 0;
	return refuse_set(e, EINVAL, "words are missing: %s", wants);
}

/* Room for one more in an array of `size`-byte elements. */
static int
grow(void *array, size_t count, size_t *cap, size_t size, struct err *e)
{
	size_t more = *cap < 8 ? 8 : *cap * 2;
	void *old;
	void *new;

	if (count < *cap)
		return 0;
	memcpy(&old, array, sizeof(old));
	new = mem_resize(old, more, size);
	if (new == NULL)
		return err_nomem(e);
	memcpy(array, &new, sizeof(new));
	*cap = more;
	return 0;
}

#define GROW(list, e)                                                          \
	grow(&(list)->v, (list)->count, &(list)->cap, sizeof(*(list)->v), e)

/* The value of an option out of a table; *out stays when it is not there. */
static int
take_term(const struct grammar_word *w, const struct term *terms, unsigned *out,
	  struct err *e)
{
	const struct term *t;
	const char *v;

	if (w == NULL)
		return 0;
	v = grammar_value(w);
	t = find_term(terms, v, strlen(v));
	if (t == NULL)
		return grammar_refuse(w, "not one of its values", e);
	*out = t->value;
	return 0;
}

/* A text of an option; *out stays when it is not there. */
static int
take_text(struct parser *p, const struct grammar_word *w, const char **out,
	  struct err *e)
{
	if (w == NULL)
		return 0;
	if (strlen(grammar_value(w)) > METADATA_TEXT_MAX)
		return grammar_refuse(w, "a text of more than 1024 bytes", e);
	*out = keep(p, grammar_value(w));
	return 0;
}

/* --- writer, schema, restore-method ----------------------------------------- */

static int
take_writer(struct parser *p, struct err *e)
{
	enum {
		USAGE,
		SOURCE,
		LEVEL,
		INSTANCE,
		KEYS
	};
	static const struct grammar_key keys[KEYS] = {
		{ "usage", false },
		{ "source", false },
		{ "freeze-level", false },
		{ "instance", false },
	};
	const struct grammar_word *w = p->line.word;
	const struct grammar_word *o[KEYS];
	struct metadata *m = p->m;
	unsigned usage = USAGE_USER_DATA;
	unsigned source = SOURCE_OTHER;
	unsigned level = LEVEL_FRONT_END;

	if (m->writer != NULL)
		return refuse_set(e, EINVAL, "a second writer line");
	if (want_words(p, 2, "writer NAME", e) < 0 ||
	    judge(&w[1], value_writer_fault(w[1].s), e) < 0 ||
	    grammar_options(&p->line, 2, keys, KEYS, o, e) < 0 ||
	    take_term(o[USAGE], usages, &usage, e) < 0 ||
	    take_term(o[SOURCE], sources, &source, e) < 0 ||
	    take_term(o[LEVEL], levels, &level, e) < 0 ||
	    take_text(p, o[INSTANCE], &m->instance, e) < 0)
		return -1;
	m->writer = keep(p, w[1].s);
	m->usage = (enum metadata_usage)usage;
	m->source = (enum metadata_source)source;
	m->level = (enum metadata_level)level;
	return 0;
}

/* What the flags of a schema want from each other. */
static int
check_schema(unsigned s, struct err *e)
{
	const unsigned both = SCHEMA_INCREMENTAL | SCHEMA_DIFFERENTIAL;

	if ((s & SCHEMA_LSN) != 0)
		return refuse_set(e, EINVAL, "schema: lsn is reserved");
	if ((s & SCHEMA_EXCLUSIVE) != 0 && (s & both) != both)
		return refuse_set(e, EINVAL,
				  "schema: exclusive is for both incremental "
				  "and differential");
	if ((s & SCHEMA_TIMESTAMPED) != 0 && (s & both) == 0)
		return refuse_set(e, EINVAL,
				  "schema: timestamped is for incremental or "
				  "differential");
	if ((s & SCHEMA_LAST_MODIFY) != 0 && (s & both) == 0)
		return refuse_set(e, EINVAL,
				  "schema: last-modify is for incremental or "
				  "differential");
	return 0;
}

static int
take_schema(struct parser *p, struct err *e)
{
	const struct grammar_word *w = p->line.word;
	const struct term *t;
	size_t i;

	if (p->has_schema)
		return refuse_set(e, EINVAL, "a second schema line");
	if (want_words(p, 2, "schema FLAG ... (or: schema none)", e) < 0)
		return -1;
	p->has_schema = true;
	if (p->line.count == 2 && strcmp(w[1].s, "none") == 0)
		return 0;
	for (i = 1; i < p->line.count; i++) {
		t = find_term(schemas, w[i].s, w[i].len);
		if (t == NULL)
			return grammar_refuse(&w[i], "no such flag", e);
		if ((p->m->schema & t->value) != 0)
			return grammar_refuse(&w[i], "a flag is there twice",
					      e);
		p->m->schema |= t->value;
	}
	return check_schema(p->m->schema, e);
}

static int
take_method(struct parser *p, struct err *e)
{
	enum {
		EVENTS,
		REBOOT,
		SERVICE,
		KEYS
	};
	static const struct grammar_key keys[KEYS] = {
		{ "writer-restore", false },
		{ "reboot-required", true },
		{ "service", false },
	};
	const struct grammar_word *w = p->line.word;
	const struct grammar_word *o[KEYS];
	const struct term *t;
	unsigned wanted = EVENTS_ALWAYS;

	if (p->m->method != 0)
		return refuse_set(e, EINVAL, "a second restore-method line");
	if (want_words(p, 2, "restore-method METHOD", e) < 0)
		return -1;
	t = find_term(methods, w[1].s, w[1].len);
	if (t == NULL)
		return grammar_refuse(&w[1], "no such restore method", e);
	if (grammar_options(&p->line, 2, keys, KEYS, o, e) < 0 ||
	    take_term(o[EVENTS], events, &wanted, e) < 0)
		return -1;
	if (o[SERVICE] != NULL)
		return refuse_set(e, EPERM,
				  "column %zu: the service is named when the "
				  "writer is registered, not in its document",
				  o[SERVICE]->column);
	p->m->method = (enum metadata_method)t->value;
	p->m->events = (enum metadata_events)wanted;
	p->m->reboot_required = o[REBOOT] != NULL;
	return 0;
}

/* --- components ------------------------------------------------------------- */

/* Where the name s[0..len) is in by_name, or would be; *found says which. */
static size_t
place_of(const struct metadata *m, const char *s, size_t len, bool *found)
{
	size_t lo = 0;
	size_t hi = m->components.count;
	size_t mid;
	int c;

	*found = false;
	while (lo < hi) {
		const char *name;

		mid = lo + (hi - lo) / 2;
		name = m->components.v[m->by_name[mid]].name;
		c = strncmp(s, name, len);
		if (c == 0 && name[len] != '\0')
			c = -1;
		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

size_t
metadata_find(const struct metadata *m, const char *name, size_t len)
{
	bool found;
	size_t at = place_of(m, name, len, &found);

	return found ? m->by_name[at] : METADATA_NONE;
}

static int
add_component(struct parser *p, const struct metadata_component *c,
	      struct err *e)
{
	struct metadata *m = p->m;
	size_t n = m->components.count;
	bool found;
	size_t at = place_of(m, c->name, strlen(c->name), &found);

	if (found)
		return grammar_refuse(&p->line.word[1],
				      "a second component of this name", e);
	if (n == METADATA_COMPONENTS_MAX)
		return refuse_set(e, EDQUOT, "more than %d components",
				  METADATA_COMPONENTS_MAX);
	if (GROW(&m->components, e) < 0)
		return -1;
	memmove(m->by_name + at + 1, m->by_name + at,
		(n - at) * sizeof(*m->by_name));
	m->by_name[at] = n;
	m->components.v[m->components.count++] = *c;
	return 0;
}

static const struct component_key {
	const char *name;
	enum metadata_component_flag flag;
} component_flags[] = {
	{ "backup-recovery", COMPONENT_BACKUP_RECOVERY },
	{ "rollback-recovery", COMPONENT_ROLLBACK_RECOVERY },
	{ "not-system-state", COMPONENT_NOT_SYSTEM_STATE },
	{ "unlogged-hints", COMPONENT_UNLOGGED_HINTS },
	{ "notify-on-backup-complete", COMPONENT_NOTIFY },
	{ "restore-metadata", COMPONENT_RESTORE_METADATA },
};

static int
take_component(struct parser *p, struct err *e)
{
	enum {
		SELECT,
		RESTORE,
		CAPTION,
		RECOVERY,
		FLAGS
	};
	struct grammar_key keys[FLAGS + N_OF(component_flags)] = {
		{ "selectable", false },
		{ "selectable-for-restore", true },
		{ "caption", false },
		{ "recovery", false },
	};
	const struct grammar_word *o[N_OF(keys)];
	const struct grammar_word *w = p->line.word;
	struct metadata_component c = { .line = p->number };
	const struct term *type;
	unsigned yes = 0;
	unsigned log = 0;
	size_t i;

	for (i = 0; i < N_OF(component_flags); i++)
		keys[FLAGS + i] =
			(struct grammar_key){ component_flags[i].name, true };
	if (want_words(p, 3, "component COMPONENT TYPE selectable=yes|no", e) <
		    0 ||
	    judge(&w[1], value_component_fault(w[1].s), e) < 0)
		return -1;
	type = find_term(component_types, w[2].s, w[2].len);
	if (type == NULL)
		return grammar_refuse(
			&w[2], "a component is a database or a file-group", e);
	if (grammar_options(&p->line, 3, keys, N_OF(keys), o, e) < 0)
		return -1;
	if (o[SELECT] == NULL)
		return refuse_set(e, EINVAL,
				  "selectable=yes or selectable=no is missing");
	if (take_term(o[SELECT], answers, &yes, e) < 0 ||
	    take_term(o[RECOVERY], recoveries, &log, e) < 0 ||
	    take_text(p, o[CAPTION], &c.caption, e) < 0)
		return -1;
	for (i = 0; i < N_OF(component_flags); i++)
		if (o[FLAGS + i] != NULL)
			c.flags |= component_flags[i].flag;
	c.name = keep(p, w[1].s);
	c.type = (enum metadata_component_type)type->value;
	c.selectable = yes != 0;
	c.selectable_for_restore = o[RESTORE] != NULL;
	c.log_recovery = log != 0;
	return add_component(p, &c, e);
}

/* --- files ------------------------------------------------------------------ */

/* DIR PATTERN at words `at` and `at` + 1. */
static int
take_spec(struct parser *p, size_t at, struct metadata_spec *out, struct err *e)
{
	struct grammar_word *w = p->line.word;

	value_trim_dir(w[at].s, &w[at].len);
	if (judge(&w[at], value_path_fault(w[at].s), e) < 0 ||
	    judge(&w[at + 1], wildcard_fault(w[at + 1].s), e) < 0)
		return -1;
	out->dir = keep(p, w[at].s);
	out->pattern = keep(p, w[at + 1].s);
	out->line = p->number;
	return 0;
}

/* A directory in an option; *out stays when it is not there. */
static int
take_dir(struct parser *p, const struct grammar_word *w, const char **out,
	 struct err *e)
{
	char *v;
	size_t len;

	if (w == NULL)
		return 0;
	v = w->s + w->key + 1;
	len = strlen(v);
	value_trim_dir(v, &len);
	if (judge(w, value_path_fault(v), e) < 0)
		return -1;
	*out = keep(p, v);
	return 0;
}

/* The component in word 1, which must be there already. */
static int
take_owner(struct parser *p, size_t *out, struct err *e)
{
	const struct grammar_word *w = &p->line.word[1];
	char shown[PATH_SHOW_LEN];

	if (judge(w, value_component_fault(w->s), e) < 0)
		return -1;
	*out = metadata_find(p->m, w->s, w->len);
	if (*out == METADATA_NONE)
		return refuse_set(e, ENOENT,
				  "column %zu: no such component above: %s",
				  w->column, path_show_in(shown, w->s, w->len));
	return 0;
}

/* A list of types: names joined by commas, or `all`, or `none`. */
static int
take_mask(const struct grammar_word *w, unsigned *out, struct err *e)
{
	const struct term *t;
	const char *s;
	const char *comma;
	unsigned mask = 0;

	*out = METADATA_ALL;
	if (w == NULL || strcmp(grammar_value(w), "all") == 0)
		return 0;
	*out = 0;
	if (strcmp(grammar_value(w), "none") == 0)
		return 0;
	for (s = grammar_value(w);; s = comma + 1) {
		comma = strchrnul(s, ',');
		t = find_term(backup_types, s, (size_t)(comma - s));
		if (t == NULL || (t->value & METADATA_ALL) == 0)
			return grammar_refuse(w,
					      "a list of full, differential, "
					      "incremental and log, or all, "
					      "or none",
					      e);
		if ((mask & t->value) != 0)
			return grammar_refuse(w, "a type is there twice", e);
		mask |= t->value;
		if (*comma == '\0')
			break;
	}
	*out = mask;
	return 0;
}

static int
check_kind(const struct parser *p, const struct metadata_files *f,
	   struct err *e)
{
	bool database =
		p->m->components.v[f->component].type == COMPONENT_DATABASE;

	if (database && f->kind == FILES_PLAIN)
		return grammar_refuse(&p->line.word[1],
				      "a database has database-files and "
				      "log-files, not files",
				      e);
	if (!database && f->kind != FILES_PLAIN)
		return grammar_refuse(&p->line.word[1],
				      "a file-group has files, not "
				      "database-files or log-files",
				      e);
	return 0;
}

static int
take_file_set(struct parser *p, enum metadata_files_kind kind, struct err *e)
{
	enum {
		RECURSIVE,
		ALTERNATE,
		BACKUP,
		SNAPSHOT,
		CREATED,
		KEYS
	};
	static const struct grammar_key keys[KEYS] = {
		{ "recursive", true }, { "alternate", false },
		{ "backup", false },   { "snapshot", false },
		{ "created", true },
	};
	const struct grammar_word *o[KEYS];
	struct metadata_files f = { .kind = kind };

	if (want_words(p, 4, "files COMPONENT DIR PATTERN", e) < 0 ||
	    take_owner(p, &f.component, e) < 0 || check_kind(p, &f, e) < 0 ||
	    take_spec(p, 2, &f.spec, e) < 0 ||
	    grammar_options(&p->line, 4, keys, KEYS, o, e) < 0 ||
	    take_dir(p, o[ALTERNATE], &f.alternate, e) < 0 ||
	    take_mask(o[BACKUP], &f.backup, e) < 0 ||
	    take_mask(o[SNAPSHOT], &f.snapshot, e) < 0 ||
	    GROW(&p->m->files, e) < 0)
		return -1;
	f.spec.recursive = o[RECURSIVE] != NULL;
	f.created = o[CREATED] != NULL;
	p->m->files.v[p->m->files.count++] = f;
	return 0;
}

static int
take_exclude(struct parser *p, struct metadata_specs *list, struct err *e)
{
	static const struct grammar_key keys[1] = { { "recursive", true } };
	const struct grammar_word *o[1];
	struct metadata_spec spec = { 0 };

	if (want_words(p, 3, "exclude DIR PATTERN", e) < 0 ||
	    take_spec(p, 1, &spec, e) < 0 ||
	    grammar_options(&p->line, 3, keys, 1, o, e) < 0 ||
	    GROW(list, e) < 0)
		return -1;
	spec.recursive = o[0] != NULL;
	list->v[list->count++] = spec;
	return 0;
}

static int
take_location(struct parser *p, struct err *e)
{
	enum {
		RECURSIVE,
		TO,
		KEYS
	};
	static const struct grammar_key keys[KEYS] = { { "recursive", true },
						       { "to", false } };
	const struct grammar_word *o[KEYS];
	struct metadata_location a = { 0 };

	if (p->m->method == 0)
		return refuse_set(e, EINVAL,
				  "an alternate location before the "
				  "restore-method line");
	if (want_words(p, 3, "alternate-location DIR PATTERN to=DIR", e) < 0 ||
	    take_spec(p, 1, &a.spec, e) < 0 ||
	    grammar_options(&p->line, 3, keys, KEYS, o, e) < 0)
		return -1;
	if (o[TO] == NULL)
		return refuse_set(e, EINVAL,
				  "to= is missing: alternate-location DIR "
				  "PATTERN to=DIR");
	if (take_dir(p, o[TO], &a.to, e) < 0 || GROW(&p->m->locations, e) < 0)
		return -1;
	a.spec.recursive = o[RECURSIVE] != NULL;
	p->m->locations.v[p->m->locations.count++] = a;
	return 0;
}

/* COMPONENT or //MACHINE/COMPONENT in word 3. */
static int
take_target(struct parser *p, struct metadata_dependency *d, struct err *e)
{
	struct grammar_word *w = &p->line.word[3];
	char *target = w->s;
	char *slash;

	if (strncmp(w->s, "//", 2) == 0) {
		slash = strchr(w->s + 2, '/');
		if (slash == NULL ||
		    !path_name_ok(w->s + 2, (size_t)(slash - w->s - 2)))
			return grammar_refuse(w, "not //MACHINE/COMPONENT", e);
		*slash = '\0';
		d->machine = keep(p, w->s + 2);
		*slash = '/';
		target = slash + 1;
	}
	if (judge(w, value_component_fault(target), e) < 0)
		return -1;
	d->target = keep(p, target);
	return 0;
}

static int
take_dependency(struct parser *p, struct err *e)
{
	const struct grammar_word *w = p->line.word;
	const struct grammar_word *none[1];
	struct metadata_dependencies *list = &p->m->dependencies;
	struct metadata_dependency d = { .line = p->number };

	if (want_words(p, 4, "dependency COMPONENT WRITER COMPONENT", e) < 0 ||
	    take_owner(p, &d.component, e) < 0 ||
	    judge(&w[2], value_writer_fault(w[2].s), e) < 0 ||
	    take_target(p, &d, e) < 0 ||
	    grammar_options(&p->line, 4, NULL, 0, none, e) < 0)
		return -1;
	if (d.machine == NULL && strcmp(w[2].s, p->m->writer) == 0)
		return grammar_refuse(&w[2], "a dependency inside one writer",
				      e);
	d.writer = keep(p, w[2].s);
	if (GROW(list, e) < 0)
		return -1;
	list->v[list->count++] = d;
	return 0;
}

/* --- the end: what needs the whole document --------------------------------- */

static int
cmp_specs(const struct metadata_spec *a, const struct metadata_spec *b)
{
	int c = strcmp(a->dir, b->dir);

	if (c == 0)
		c = strcmp(a->pattern, b->pattern);
	return c != 0 ? c : (int)a->recursive - (int)b->recursive;
}

/* For qsort: by what they say, then by line. */
static int
cmp_spec_pointers(const void *x, const void *y)
{
	const struct metadata_spec *a;
	const struct metadata_spec *b;
	int c;

	memcpy(&a, x, sizeof(a));
	memcpy(&b, y, sizeof(b));
	c = cmp_specs(a, b);
	return c != 0 ? c : a->line < b->line ? -1 : a->line > b->line;
}

/* Sort, and refuse what is there twice. */
static int
sort_specs(const struct metadata_spec **v, size_t n, const char *what,
	   struct err *e)
{
	char shown[PATH_SHOW_LEN];
	size_t i;

	if (n > 1)
		qsort(v, n, sizeof(*v), cmp_spec_pointers);
	for (i = 1; i < n; i++)
		if (cmp_specs(v[i - 1], v[i]) == 0)
			return refuse_set(
				e, EINVAL,
				"line %zu: %s for %s is there twice, first in "
				"line %zu",
				v[i]->line, what,
				path_show_in(shown, v[i]->dir,
					     strlen(v[i]->dir)),
				v[i - 1]->line);
	return 0;
}

/* Sorted pointers to n specs that are `size` bytes apart. */
static int
index_specs(const void *first, size_t n, size_t size, const char *what,
	    const struct metadata_spec ***out, struct err *e)
{
	const struct metadata_spec **v = mem_array(n, sizeof(*v));
	const char *at = first;
	size_t i;

	if (v == NULL)
		return err_nomem(e);
	for (i = 0; i < n; i++)
		v[i] = (const struct metadata_spec *)(const void *)(at +
								    i * size);
	if (sort_specs(v, n, what, e) < 0) {
		mem_free(v);
		return -1;
	}
	*out = v;
	return 0;
}

static int
check_excludes(const struct metadata_specs *list, const char *what,
	       struct err *e)
{
	const struct metadata_spec **v = NULL;

	if (index_specs(list->v, list->count, sizeof(*list->v), what, &v, e) <
	    0)
		return -1;
	mem_free(v);
	return 0;
}

const struct metadata_files *
metadata_find_files(const struct metadata *m, const char *dir,
		    const char *pattern, bool recursive)
{
	const struct metadata_spec want = { dir, pattern, recursive, 0 };
	size_t lo = 0;
	size_t hi = m->files.count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = cmp_specs(&want, m->by_spec[mid]);

		/* The spec is the first member. */
		if (c == 0)
			return (const struct metadata_files *)(const void *)
				m->by_spec[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

/*
 * With this method all file sets have an alternate location.  Both lists are
 * in the same order, and each location belongs to a file set.
 */
static int
check_all_have_one(const struct metadata *m,
		   const struct metadata_spec *const *location, struct err *e)
{
	size_t i;
	size_t k = 0;

	for (i = 0; i < m->files.count; i++, k++)
		if (k == m->locations.count ||
		    cmp_specs(m->by_spec[i], location[k]) != 0)
			return refuse_set(e, EINVAL,
					  "line %zu: no alternate location for "
					  "this file set, but the restore "
					  "method goes there",
					  m->by_spec[i]->line);
	return 0;
}

/* Each alternate location belongs to a file set that stands above it. */
static int
check_locations(const struct metadata *m, struct err *e)
{
	const struct metadata_locations *list = &m->locations;
	const struct metadata_spec **v = NULL;
	const struct metadata_files *f;
	size_t i;
	int rc;

	rc = index_specs(list->v, list->count, sizeof(*list->v),
			 "an alternate location", &v, e);
	for (i = 0; i < list->count && rc == 0; i++) {
		f = metadata_find_files(m, v[i]->dir, v[i]->pattern,
					v[i]->recursive);
		if (f == NULL || f->spec.line > v[i]->line)
			rc = refuse_set(e, ENOENT,
					"line %zu: no file set above with this "
					"directory, pattern and recursion",
					v[i]->line);
	}
	if (rc == 0 && m->method == METHOD_RESTORE_TO_ALTERNATE_LOCATION)
		rc = check_all_have_one(m, v, e);
	mem_free(v);
	return rc;
}

static int
cmp_dependencies(const void *x, const void *y)
{
	const struct metadata_dependency *a;
	const struct metadata_dependency *b;
	int c;

	memcpy(&a, x, sizeof(a));
	memcpy(&b, y, sizeof(b));
	if (a->component != b->component)
		return a->component < b->component ? -1 : 1;
	c = strcmp(a->writer, b->writer);
	if (c == 0)
		c = strcmp(a->target, b->target);
	if (c == 0)
		c = strcmp(a->machine != NULL ? a->machine : "",
			   b->machine != NULL ? b->machine : "");
	return c;
}

static int
check_dependencies(const struct metadata *m, struct err *e)
{
	const struct metadata_dependencies *list = &m->dependencies;
	const struct metadata_dependency **v =
		mem_array(list->count, sizeof(*v));
	size_t i;
	int rc = 0;

	if (v == NULL)
		return err_nomem(e);
	for (i = 0; i < list->count; i++)
		v[i] = &list->v[i];
	if (list->count > 1)
		qsort(v, list->count, sizeof(*v), cmp_dependencies);
	for (i = 1; i < list->count && rc == 0; i++)
		if (cmp_dependencies(&v[i - 1], &v[i]) == 0)
			rc = refuse_set(e, EINVAL,
					"line %zu: a dependency is there twice",
					v[i - 1]->line > v[i]->line
						? v[i - 1]->line
						: v[i]->line);
	mem_free(v);
	return rc;
}

static bool
has_log_files(const struct metadata *m)
{
	size_t i;

	for (i = 0; i < m->files.count; i++)
		if (m->files.v[i].kind == FILES_LOG)
			return true;
	return false;
}

static int
take_end(struct parser *p, struct err *e)
{
	struct metadata *m = p->m;
	const struct grammar_word *none[1];

	if (grammar_options(&p->line, 1, NULL, 0, none, e) < 0)
		return -1;
	if (m->method == 0)
		return refuse_set(e, EINVAL, "no restore-method line above");
	if (m->components.count == 0)
		return refuse_set(e, EINVAL, "no component above");
	if ((m->schema & SCHEMA_LOG) != 0 && !has_log_files(m))
		return refuse_set(e, EINVAL,
				  "the schema has log, but no component has "
				  "log-files");
	p->ended = true;
	return 0;
}

/* --- the document ----------------------------------------------------------- */

static int
take_line(struct parser *p, struct err *e)
{
	const struct grammar_word *w = p->line.word;

	if (p->ended)
		return refuse_set(e, EINVAL, "something behind the line end");
	if (strcmp(w->s, "writer") == 0)
		return take_writer(p, e);
	if (p->m->writer == NULL)
		return refuse_set(e, EINVAL,
				  "a document begins with the writer line");
	if (strcmp(w->s, "schema") == 0)
		return take_schema(p, e);
	if (strcmp(w->s, "restore-method") == 0)
		return take_method(p, e);
	if (strcmp(w->s, "component") == 0)
		return take_component(p, e);
	if (strcmp(w->s, "files") == 0)
		return take_file_set(p, FILES_PLAIN, e);
	if (strcmp(w->s, "database-files") == 0)
		return take_file_set(p, FILES_DATABASE, e);
	if (strcmp(w->s, "log-files") == 0)
		return take_file_set(p, FILES_LOG, e);
	if (strcmp(w->s, "exclude") == 0)
		return take_exclude(p, &p->m->excludes, e);
	if (strcmp(w->s, "exclude-from-snapshot") == 0)
		return take_exclude(p, &p->m->snapshot_excludes, e);
	if (strcmp(w->s, "alternate-location") == 0)
		return take_location(p, e);
	if (strcmp(w->s, "dependency") == 0)
		return take_dependency(p, e);
	if (strcmp(w->s, "end") == 0)
		return take_end(p, e);
	return grammar_refuse(w, "no such line in a document", e);
}

static int
take_lines(struct parser *p, const char *s, size_t len, struct err *e)
{
	const char *end = len > 0 ? s + len : s;
	const char *nl;

	for (p->number = 1; s < end; s = nl + 1, p->number++) {
		nl = memchr(s, '\n', (size_t)(end - s));
		if (nl == NULL)
			nl = end;
		if (grammar_split(&p->line, s, (size_t)(nl - s), e) < 0 ||
		    (p->line.count > 0 && take_line(p, e) < 0))
			return err_prefix(e, "line %zu", p->number);
	}
	if (!p->ended)
		return refuse_set(e, EINVAL,
				  "line %zu: the document has no line end",
				  p->number);
	return 0;
}

static int
check_document(struct metadata *m, struct err *e)
{
	struct buf text = { 0 };
	int rc;

	if (index_specs(m->files.v, m->files.count, sizeof(*m->files.v),
			"a file set", &m->by_spec, e) < 0 ||
	    check_excludes(&m->excludes, "an exclude", e) < 0 ||
	    check_excludes(&m->snapshot_excludes, "an exclude-from-snapshot",
			   e) < 0 ||
	    check_locations(m, e) < 0 || check_dependencies(m, e) < 0)
		return -1;
	metadata_print(m, &text);
	rc = buf_ok(&text, e);
	if (rc == 0 && text.len > METADATA_LEN_MAX)
		rc = refuse_set(e, EDQUOT,
				"the document has more than %d bytes when "
				"bytes outside ASCII are written as \\xHH",
				METADATA_LEN_MAX);
	buf_clear(&text);
	return rc;
}

int
metadata_parse(struct metadata **out, const void *text, size_t len,
	       struct err *e)
{
	struct parser p = { 0 };
	int rc = -1;

	if (len > METADATA_LEN_MAX)
		return refuse_set(e, EDQUOT,
				  "the document is longer than %d bytes",
				  METADATA_LEN_MAX);
	p.m = mem_zalloc(sizeof(*p.m));
	if (p.m == NULL)
		return err_nomem(e);
	p.m->strings = mem_alloc(len + 1);
	p.m->by_name = mem_array(METADATA_COMPONENTS_MAX, sizeof(size_t));
	p.at = p.m->strings;
	if (p.m->strings == NULL || p.m->by_name == NULL)
		(void)err_nomem(e);
	else if (take_lines(&p, text, len, e) == 0)
		rc = check_document(p.m, e);
	grammar_clear(&p.line);
	if (rc == 0)
		*out = p.m;
	else
		metadata_free(p.m);
	return rc;
}

void
metadata_free(struct metadata *m)
{
	if (m == NULL)
		return;
	mem_free(m->components.v);
	mem_free(m->files.v);
	mem_free(m->excludes.v);
	mem_free(m->snapshot_excludes.v);
	mem_free(m->locations.v);
	mem_free(m->dependencies.v);
	mem_free(m->by_name);
	mem_free(m->by_spec);
	mem_free(m->strings);
	mem_free(m);
}

/* --- writing ---------------------------------------------------------------- */

static void
print_option(struct buf *out, const char *key, const struct term *terms,
	     unsigned value, unsigned silent)
{
	if (value != silent)
		buf_printf(out, " %s=%s", key, name_of(terms, value));
}

static void
print_head(const struct metadata *m, struct buf *out)
{
	const struct term *t;

	buf_add_str(out, "writer");
	grammar_put(out, m->writer);
	print_option(out, "usage", usages, m->usage, USAGE_USER_DATA);
	print_option(out, "source", sources, m->source, SOURCE_OTHER);
	print_option(out, "freeze-level", levels, m->level, LEVEL_FRONT_END);
	if (m->instance != NULL)
		grammar_put_option(out, "instance", m->instance);
	buf_add_char(out, '\n');
	if (m->schema != 0) {
		buf_add_str(out, "schema");
		for (t = schemas; t->name != NULL; t++)
			if ((m->schema & t->value) != 0)
				buf_printf(out, " %s", t->name);
		buf_add_char(out, '\n');
	}
	buf_printf(out, "restore-method %s", name_of(methods, m->method));
	print_option(out, "writer-restore", events, m->events, EVENTS_ALWAYS);
	buf_add_str(out, m->reboot_required ? " reboot-required\n" : "\n");
}

static void
print_component(const struct metadata_component *c, struct buf *out)
{
	size_t i;

	buf_add_str(out, "component");
	grammar_put(out, c->name);
	buf_printf(out, " %s selectable=%s", name_of(component_types, c->type),
		   c->selectable ? "yes" : "no");
	if (c->selectable_for_restore)
		buf_add_str(out, " selectable-for-restore");
	if (c->caption != NULL)
		grammar_put_option(out, "caption", c->caption);
	if (c->log_recovery)
		buf_add_str(out, " recovery=log");
	for (i = 0; i < N_OF(component_flags); i++)
		if ((c->flags & component_flags[i].flag) != 0)
			buf_printf(out, " %s", component_flags[i].name);
	buf_add_char(out, '\n');
}

static void
print_spec(const struct metadata_spec *spec, struct buf *out)
{
	grammar_put(out, spec->dir);
	grammar_put(out, spec->pattern);
	if (spec->recursive)
		buf_add_str(out, " recursive");
}

static void
print_mask(struct buf *out, const char *key, unsigned mask)
{
	const struct term *t;
	const char *sep = "";

	if (mask == METADATA_ALL)
		return;
	buf_printf(out, " %s=%s", key, mask == 0 ? "none" : "");
	for (t = backup_types; t->name != NULL; t++) {
		if ((mask & t->value) == 0)
			continue;
		buf_printf(out, "%s%s", sep, t->name);
		sep = ",";
	}
}

static void
print_files(const struct metadata *m, const struct metadata_files *f,
	    struct buf *out)
{
	static const char *const word[] = { "files", "database-files",
					    "log-files" };

	buf_add_str(out, word[f->kind]);
	grammar_put(out, m->components.v[f->component].name);
	print_spec(&f->spec, out);
	if (f->alternate != NULL)
		grammar_put_option(out, "alternate", f->alternate);
	print_mask(out, "backup", f->backup);
	print_mask(out, "snapshot", f->snapshot);
	buf_add_str(out, f->created ? " created\n" : "\n");
}

static void
print_excludes(const struct metadata_specs *list, const char *word,
	       struct buf *out)
{
	size_t i;

	for (i = 0; i < list->count; i++) {
		buf_add_str(out, word);
		print_spec(&list->v[i], out);
		buf_add_char(out, '\n');
	}
}

static void
print_dependency(const struct metadata *m, const struct metadata_dependency *d,
		 struct buf *out)
{
	struct buf target = { 0 };

	buf_add_str(out, "dependency");
	grammar_put(out, m->components.v[d->component].name);
	grammar_put(out, d->writer);
	if (d->machine != NULL)
		buf_printf(&target, "//%s/", d->machine);
	buf_add_str(&target, d->target);
	grammar_put(out, buf_str(&target));
	buf_add_char(out, '\n');
	out->failed = out->failed || target.failed;
	buf_clear(&target);
}

void
metadata_print(const struct metadata *m, struct buf *out)
{
	size_t i;

	print_head(m, out);
	for (i = 0; i < m->components.count; i++)
		print_component(&m->components.v[i], out);
	for (i = 0; i < m->files.count; i++)
		print_files(m, &m->files.v[i], out);
	print_excludes(&m->excludes, "exclude", out);
	print_excludes(&m->snapshot_excludes, "exclude-from-snapshot", out);
	for (i = 0; i < m->locations.count; i++) {
		buf_add_str(out, "alternate-location");
		print_spec(&m->locations.v[i].spec, out);
		grammar_put_option(out, "to", m->locations.v[i].to);
		buf_add_char(out, '\n');
	}
	for (i = 0; i < m->dependencies.count; i++)
		print_dependency(m, &m->dependencies.v[i], out);
	buf_add_str(out, "end\n");
}
