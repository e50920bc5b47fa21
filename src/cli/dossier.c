#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/dossier.h"

#include "base/buf.h"
#include "base/err.h"
#include "src/cli/cmd.h"
#include "src/cli/json.h"
#include "src/cli/ui.h"
#include "src/engine/view.h"
#include "src/requester/dossier.h"
#include "src/requester/session_file.h"
#include "src/writer/metadata.h"
#include "src/writer/value.h"

#include <stdio.h>
#include <string.h>

/* 1: the generation has none. */
static int
load(struct view_gen *g, struct dossier *out, struct err *e)
{
	struct buf text = { 0 };
	int rc = session_file(g, "session", DOSSIER_MAX, &text, e);

	if (rc == 0)
		rc = buf_ok(&text, e);
	if (rc == 0)
		rc = dossier_parse(text.data, text.len, out, e);
	if (rc == 0)
		dossier_settle(out, g->number);
	if (rc < 0)
		err_prefix(e, "generation %u", g->number);
	buf_clear(&text);
	return rc;
}

/* --- for people ---------------------------------------------------------- */

static void
row(int indent, const char *key, const char *value, size_t len)
{
	if (value == NULL)
		return;
	ui_printf("%*s%-*s ", indent, "", 18 - indent, key);
	ui_show(value, len);
	ui_printf("\n");
}

static void
row_text(int indent, const char *key, const char *value)
{
	row(indent, key, value, value != NULL ? strlen(value) : 0);
}

/* Has the generation what it needs of another one itself? */
static bool
is_kept(struct view_gen *g, const struct dossier_ref *ref)
{
	struct view_gen *image = NULL;
	struct err why = { 0 };
	int rc = view_image(g, ref->number, ref->id, &image, &why);

	if (rc == 0)
		view_unref(image);
	err_clear(&why);
	return rc == 0;
}

static void
print_images(struct view_gen *g, const struct dossier_component *c)
{
	size_t i;

	if (!c->carried && c->images == 0)
		return;
	ui_printf("    %-14s", "carried");
	ui_printf(" %zu file set%s; images", c->carried_sets,
		  ui_s(c->carried_sets));
	for (i = 0; i < c->images; i++)
		ui_printf(" %u", c->image[i].number);
	ui_printf("\n");
	for (i = 0; i + 1 < c->images; i++)
		ui_printf("    %-14s %s of generation %u\n", "image",
			  is_kept(g, &c->image[i]) ? "its own copy"
						   : "none kept",
			  c->image[i].number);
}

/* `all`: the backup read all of everything, whatever was declared. */
static void
print_file(const struct dossier_file *f, bool all)
{
	char size[UI_TEXT_LEN];
	char when[TIME_TEXT_LEN];

	ui_printf("    %-14s ", f->differenced ? "differenced" : "partial");
	ui_show(f->path, strlen(f->path));
	if (f->differenced) {
		ui_printf(" ");
		ui_show(f->pattern, strlen(f->pattern));
		if (f->recursive)
			ui_printf(" recursive");
		if (f->has_newer)
			ui_printf(" since %s", ui_time(when, f->newer));
	} else if (!all && f->refused == NULL) {
		ui_printf(": %s read", ui_size(size, f->bytes_read));
	} else if (all) {
		ui_printf(": read whole, as all is");
	}
	ui_printf("\n");
	row_text(6, "read whole", f->refused);
	row_text(6, "metadata", f->metadata);
}

static void
print_component(struct view_gen *g, const struct dossier_component *c)
{
	bool all = c->effective == METADATA_FULL ||
		   c->effective == METADATA_COPY;
	size_t i;

	ui_printf("  component ");
	ui_show(c->name, strlen(c->name));
	ui_printf(": %s, %s", c->succeeded ? "succeeded" : "did not succeed",
		  metadata_type_name(c->effective));
	if (c->base.number != 0)
		ui_printf(" on %u", c->base.number);
	ui_printf("%s\n", c->untrusted ? ", untrusted" : "");
	row_text(4, "why", c->why);
	row(4, "stamp", c->stamp, c->stamp_len);
	row(4, "previous stamp", c->previous_stamp, c->previous_len);
	row_text(4, "metadata", c->metadata);
	print_images(g, c);
	for (i = 0; i < c->files; i++)
		print_file(&c->file[i], all);
	for (i = 0; i < c->attachments; i++)
		row_text(4, "attached", c->attachment[i].path);
}

static void
print_writer(struct view_gen *g, const struct dossier_writer *w)
{
	size_t i;

	ui_printf("writer %s: %s", w->name, dossier_state_name(w->state));
	if (w->state == DOSSIER_TOOK_PART)
		ui_printf(", %s", metadata_type_name(w->effective));
	if (w->failed_at != 0)
		ui_printf(" at %s", event_name(w->failed_at));
	if (w->failure != FAILURE_NONE)
		ui_printf(" (%s)", failure_name(w->failure));
	ui_printf("\n");
	row_text(2, "why", w->text);
	for (i = 0; i < w->components; i++)
		print_component(g, &w->component[i]);
}

int
dossier_show(struct view_gen *g, struct err *e)
{
	struct dossier d = { 0 };
	int rc = load(g, &d, e);
	size_t i;

	if (rc < 0)
		return -1;
	for (i = 0; rc == 0 && i < d.writers; i++)
		print_writer(g, &d.writer[i]);
	dossier_clear(&d);
	return CODE_DONE;
}

/* --- for programs -------------------------------------------------------- */

static void
put(struct json *j, const char *key, const char *s, size_t len)
{
	if (s == NULL)
		json_put_null(j, key);
	else
		json_put_name(j, key, s, len);
}

static void
put_text(struct json *j, const char *key, const char *s)
{
	put(j, key, s, s != NULL ? strlen(s) : 0);
}

static void
put_ref(struct json *j, const char *key, const struct dossier_ref *ref)
{
	struct json o = json_object_begin();

	json_put_u64(&o, "generation", ref->number);
	json_put_hex(&o, "id", ref->id, sizeof(ref->id));
	if (key != NULL)
		json_put(j, key, &o);
	else
		json_add(j, &o);
}

static void
put_images(struct json *j, const struct dossier_component *c)
{
	struct json a = json_array_begin();
	size_t i;

	for (i = 0; i < c->images; i++)
		put_ref(&a, NULL, &c->image[i]);
	json_put(j, "images", &a);
}

static void
put_file(struct json *a, const struct dossier_file *f)
{
	struct json o = json_object_begin();

	put_text(&o, "path", f->path);
	json_put_text(&o, "kind", f->differenced ? "differenced" : "partial");
	if (f->differenced) {
		put_text(&o, "pattern", f->pattern);
		json_put_bool(&o, "recursive", f->recursive);
		if (f->has_newer)
			json_put_time(&o, "newer", f->newer);
	} else {
		put_text(&o, "ranges", f->ranges);
		put_text(&o, "metadata", f->metadata);
		put_text(&o, "refused", f->refused);
		json_put_u64(&o, "bytes_read", f->bytes_read);
	}
	json_add(a, &o);
}

static void
put_files(struct json *j, const struct dossier_component *c)
{
	struct json a = json_array_begin();
	struct json b = json_array_begin();
	struct json o;
	size_t i;

	for (i = 0; i < c->files; i++)
		put_file(&a, &c->file[i]);
	json_put(j, "files", &a);
	for (i = 0; i < c->attachments; i++) {
		o = json_object_begin();
		put_text(&o, "path", c->attachment[i].path);
		put_text(&o, "from", c->attachment[i].from);
		json_add(&b, &o);
	}
	json_put(j, "attachments", &b);
}

static void
put_component(struct json *a, const struct dossier_component *c)
{
	struct json o = json_object_begin();

	put_text(&o, "component", c->name);
	json_put_text(&o, "effective_type", metadata_type_name(c->effective));
	json_put_bool(&o, "succeeded", c->succeeded);
	put_text(&o, "why", c->why);
	json_put_bool(&o, "carried", c->carried);
	json_put_bool(&o, "untrusted", c->untrusted);
	if (c->base.number != 0)
		put_ref(&o, "base", &c->base);
	else
		json_put_null(&o, "base");
	put(&o, "stamp", c->stamp, c->stamp_len);
	put(&o, "previous_stamp", c->previous_stamp, c->previous_len);
	put_text(&o, "metadata", c->metadata);
	json_put_u64(&o, "incrementals", c->incrementals);
	json_put_u64(&o, "differentials", c->differentials);
	json_put_u64(&o, "cut", c->cut);
	put_images(&o, c);
	put_files(&o, c);
	json_add(a, &o);
}

static void
put_writer(struct json *a, const struct dossier_writer *w)
{
	struct json o = json_object_begin();
	struct json list = json_array_begin();
	size_t i;

	json_put_text(&o, "writer", w->name);
	json_put_u64(&o, "owner", w->owner);
	json_put_text(&o, "state", dossier_state_name(w->state));
	if (w->failed_at != 0)
		json_put_text(&o, "failed_at", event_name(w->failed_at));
	if (w->failure != FAILURE_NONE)
		json_put_text(&o, "failure", failure_name(w->failure));
	put_text(&o, "text", w->text);
	put_text(&o, "document", w->document);
	for (i = 0; i < w->components; i++)
		put_component(&list, &w->component[i]);
	json_put(&o, "components", &list);
	json_add(a, &o);
}

int
dossier_show_json(struct view_gen *g, struct err *e)
{
	struct dossier d = { 0 };
	struct json j = json_object_begin();
	struct json a = json_array_begin();
	int rc = load(g, &d, e);
	size_t i;

	if (rc < 0) {
		json_clear(&j);
		json_clear(&a);
		return -1;
	}
	json_put_u64(&j, "generation", g->number);
	if (rc == 0) {
		json_put_text(&j, "session", d.session);
		json_put_text(&j, "type", metadata_type_name(d.type));
		put_text(&j, "snapshot", d.snapshot);
	} else {
		json_put_null(&j, "session");
	}
	for (i = 0; rc == 0 && i < d.writers; i++)
		put_writer(&a, &d.writer[i]);
	json_put(&j, "writers", &a);
	dossier_clear(&d);
	return json_print(&j, false, e);
}
