/*
 * Lines are judged as they come, one at a time, as far as a line can be; what
 * needs the whole document is judged at `end`, by metadata_check.
 *
 * Words are copied into one block: what they hold is never longer than the
 * text, and the NUL behind each takes the place of the blank or newline.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/metadata.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "src/writer/grammar.h"
#include "src/writer/metadata_internal.h"
#include "src/writer/refuse.h"
#include "src/writer/term.h"
#include "src/writer/value.h"
#include "src/writer/wildcard.h"

#include <errno.h>
#include <string.h>

struct parser {
	struct metadata *m;
	struct grammar_line line;
	size_t number; /* of the line, from 1 */
	char *at;      /* where the next string goes */
	bool has_schema;
	bool ended;
};

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

/* `wants`: what comes behind the first of the n words, which is known. */
static int
want_words(const struct parser *p, size_t n, const char *wants, struct err *e)
{
	if (p->line.count >= n)
		return 0;
	return refuse_set(e, EINVAL, "words are missing: %s %s",
			  p->line.word[0].s, wants);
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
	t = term_find(terms, v, strlen(v));
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
	if (want_words(p, 2, "NAME", e) < 0 ||
	    grammar_judge(&w[1], value_writer_fault(w[1].s), e) < 0 ||
	    grammar_options(&p->line, 2, keys, KEYS, o, e) < 0 ||
	    take_term(o[USAGE], term_usages, &usage, e) < 0 ||
	    take_term(o[SOURCE], term_sources, &source, e) < 0 ||
	    take_term(o[LEVEL], term_levels, &level, e) < 0 ||
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
	if (want_words(p, 2, "FLAG ... (or: schema none)", e) < 0)
		return -1;
	p->has_schema = true;
	if (p->line.count == 2 && strcmp(w[1].s, "none") == 0)
		return 0;
	for (i = 1; i < p->line.count; i++) {
		t = term_find(term_schemas, w[i].s, w[i].len);
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
	if (want_words(p, 2, "METHOD", e) < 0)
		return -1;
	t = term_find(term_methods, w[1].s, w[1].len);
	if (t == NULL)
		return grammar_refuse(&w[1], "no such restore method", e);
	if (grammar_options(&p->line, 2, keys, KEYS, o, e) < 0 ||
	    take_term(o[EVENTS], term_events, &wanted, e) < 0)
		return -1;
	if (o[SERVICE] != NULL)
		return refuse_set(e, EPERM,
				  "column %zu: the service is named when the "
				  "writer is registered, not in its document",
				  o[SERVICE]->column);
	p->m->method = (enum metadata_method)t->value;
	p->m->method_line = p->number;
	p->m->events = (enum metadata_events)wanted;
	p->m->reboot_required = o[REBOOT] != NULL;
	return 0;
}

/* --- components ------------------------------------------------------------- */

static int
add_component(struct parser *p, const struct metadata_component *c,
	      struct err *e)
{
	struct metadata *m = p->m;
	size_t n = m->components.count;
	bool found;
	size_t at = metadata_name_place(m, c->name, strlen(c->name), &found);

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
	struct grammar_key keys[FLAGS + TERM_COMPONENT_FLAGS] = {
		{ "selectable", false },
		{ "selectable-for-restore", true },
		{ "caption", false },
		{ "recovery", false },
	};
	const struct grammar_word *o[FLAGS + TERM_COMPONENT_FLAGS];
	const struct grammar_word *w = p->line.word;
	struct metadata_component c = { .line = p->number };
	const struct term *type;
	unsigned yes = 0;
	unsigned log = 0;
	size_t i;

	for (i = 0; i < TERM_COMPONENT_FLAGS; i++)
		keys[FLAGS + i] =
			(struct grammar_key){ term_component_flags[i].name,
					      true };
	if (want_words(p, 3, "COMPONENT TYPE selectable=yes|no", e) < 0 ||
	    grammar_judge(&w[1], value_component_fault(w[1].s), e) < 0)
		return -1;
	type = term_find(term_component_types, w[2].s, w[2].len);
	if (type == NULL)
		return grammar_refuse(
			&w[2], "a component is a database or a file-group", e);
	if (grammar_options(&p->line, 3, keys, FLAGS + TERM_COMPONENT_FLAGS, o,
			    e) < 0)
		return -1;
	if (o[SELECT] == NULL)
		return refuse_set(e, EINVAL,
				  "selectable=yes or selectable=no is missing");
	if (take_term(o[SELECT], term_answers, &yes, e) < 0 ||
	    take_term(o[RECOVERY], term_recoveries, &log, e) < 0 ||
	    take_text(p, o[CAPTION], &c.caption, e) < 0)
		return -1;
	for (i = 0; i < TERM_COMPONENT_FLAGS; i++)
		if (o[FLAGS + i] != NULL)
			c.flags |= term_component_flags[i].value;
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
	if (grammar_judge(&w[at], value_path_fault(w[at].s), e) < 0 ||
	    grammar_judge(&w[at + 1], wildcard_fault(w[at + 1].s), e) < 0)
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
	if (grammar_judge(w, value_path_fault(v), e) < 0)
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

	if (grammar_judge(w, value_component_fault(w->s), e) < 0)
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
		t = term_find(term_backup_types, s, (size_t)(comma - s));
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

	if (want_words(p, 4, "COMPONENT DIR PATTERN", e) < 0 ||
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

	if (want_words(p, 3, "DIR PATTERN", e) < 0 ||
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
	if (want_words(p, 3, "DIR PATTERN to=DIR", e) < 0 ||
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
	if (grammar_judge(w, value_component_fault(target), e) < 0)
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

	if (want_words(p, 4, "COMPONENT WRITER COMPONENT", e) < 0 ||
	    take_owner(p, &d.component, e) < 0 ||
	    grammar_judge(&w[2], value_writer_fault(w[2].s), e) < 0 ||
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

/* --- the document ----------------------------------------------------------- */

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

static int
take_line(struct parser *p, struct err *e)
{
	const struct grammar_word *w = p->line.word;
	const struct term *kind = term_find(term_file_sets, w->s, w->len);

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
	if (kind != NULL)
		return take_file_set(p, (enum metadata_files_kind)kind->value,
				     e);
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
		rc = metadata_check(p.m, e);
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
