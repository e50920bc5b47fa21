/*
 * The normal form: lines in the order of doc/control.md, section 6, without
 * what goes without saying.  File sets stay in their order, of whatever kind
 * they are: a file that fits two is taken as the first says.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/metadata.h"

#include "base/buf.h"
#include "src/writer/grammar.h"
#include "src/writer/term.h"

static void
print_option(struct buf *out, const char *key, const struct term *terms,
	     unsigned value, unsigned silent)
{
	if (value != silent)
		buf_printf(out, " %s=%s", key, term_name(terms, value));
}

static void
print_head(const struct metadata *m, struct buf *out)
{
	const struct term *t;

	buf_add_str(out, "writer");
	grammar_put(out, m->writer);
	print_option(out, "usage", term_usages, m->usage, USAGE_USER_DATA);
	print_option(out, "source", term_sources, m->source, SOURCE_OTHER);
	print_option(out, "freeze-level", term_levels, m->level,
		     LEVEL_FRONT_END);
	if (m->instance != NULL)
		grammar_put_option(out, "instance", m->instance);
	buf_add_char(out, '\n');
	if (m->schema != 0) {
		buf_add_str(out, "schema");
		for (t = term_schemas; t->name != NULL; t++)
			if ((m->schema & t->value) != 0)
				buf_printf(out, " %s", t->name);
		buf_add_char(out, '\n');
	}
	buf_printf(out, "restore-method %s",
		   term_name(term_methods, m->method));
	print_option(out, "writer-restore", term_events, m->events,
		     EVENTS_ALWAYS);
	buf_add_str(out, m->reboot_required ? " reboot-required\n" : "\n");
}

static void
print_component(const struct metadata_component *c, struct buf *out)
{
	size_t i;

	buf_add_str(out, "component");
	grammar_put(out, c->name);
	buf_printf(out, " %s selectable=%s",
		   term_name(term_component_types, c->type),
		   c->selectable ? "yes" : "no");
	if (c->selectable_for_restore)
		buf_add_str(out, " selectable-for-restore");
	if (c->caption != NULL)
		grammar_put_option(out, "caption", c->caption);
	if (c->log_recovery)
		buf_add_str(out, " recovery=log");
	for (i = 0; i < TERM_COMPONENT_FLAGS; i++)
		if ((c->flags & term_component_flags[i].value) != 0)
			buf_printf(out, " %s", term_component_flags[i].name);
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
	for (t = term_backup_types; t->name != NULL; t++) {
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
	buf_add_str(out, term_name(term_file_sets, f->kind));
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
