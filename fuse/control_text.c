/*
 * control_text.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "fuse/control_text.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/time.h"
#include "src/writer/grammar.h"
#include "src/writer/metadata.h"
#include "src/writer/party.h"
#include "src/writer/round.h"

#include <inttypes.h>
#include <string.h>

static const char readme[] =
	"Here applications tell asof what they have and what changed in it.\n"
	"\n"
	"An application is a writer.  It is registered once:\n"
	"\n"
	"	mkdir writers/shop\n"
	"\n"
	"says what it has, in a document that ends with the line `end`:\n"
	"\n"
	"	cat >writers/shop/metadata <<EOF\n"
	"	writer shop\n"
	"	schema incremental\n"
	"	restore-method restore-if-can-replace\n"
	"	component db database selectable=yes\n"
	"	database-files db /srv/db \"*\" recursive\n"
	"	end\n"
	"	EOF\n"
	"\n"
	"and from then on, whenever it has written, which bytes (offset and\n"
	"length) of which file; all others are promised to be as they were:\n"
	"\n"
	"	echo 'partial-file db /srv/db/data 0:8192,65536:8192' "
	">>writers/shop/declare\n"
	"\n"
	"The next backup reads these bytes and takes the rest from the one\n"
	"before.  What is refused makes the write fail, is told in the file\n"
	"`log`, and is read whole.  `declare`, read, lists what is pending.\n"
	"\n"
	"To take part in backups, to be asked to hold still and to give a stamp\n"
	"of its own, a writer reads `events` and answers each into `answer`:\n"
	"\n"
	"	while read -r event id rest; do\n"
	"		echo \"ok $id\" >>writers/shop/answer\n"
	"	done <writers/shop/events\n"
	"\n"
	"What can be asked of an event is beneath sessions/, and in\n"
	"writers/shop/components/db/: previous-stamp, base, stamp, pending.\n"
	"All of it: doc/control.md.\n";

/* --- sessions ------------------------------------------------------------- */

/* Milliseconds that are left. */
static void
put_deadline(uint64_t deadline_ns, struct buf *out)
{
	uint64_t now = time_monotonic_ns();
	uint64_t left = deadline_ns > now ? deadline_ns - now : 0;

	if (deadline_ns == 0)
		buf_add_str(out, "none");
	else
		buf_printf(out, "%" PRIu64, left / 1000000);
}

/* One a line, each a word of the language. */
static void
put_volumes(const struct round *r, struct buf *out)
{
	size_t i;

	for (i = 0; i < r->begin.volumes; i++) {
		if (i > 0)
			buf_add_char(out, '\n');
		grammar_quote(out, r->begin.volume[i],
			      strlen(r->begin.volume[i]));
	}
}

static int
session_text(const struct round *r, enum control_kind kind, struct buf *out)
{
	const char *word;

	if (r == NULL)
		return 1;
	switch (kind) {
	case CONTROL_SESSION_ID:
		buf_add_str(out, r->id);
		break;
	case CONTROL_SESSION_TYPE:
		buf_add_str(out, r->begin.kind == ROUND_RESTORE
					 ? "restore"
					 : metadata_type_name(r->begin.type));
		break;
	case CONTROL_SESSION_PHASE:
		buf_add_str(out, phase_name(r->phase));
		break;
	case CONTROL_SESSION_SET:
		word = r->begin.set != NULL ? r->begin.set : "";
		grammar_quote(out, word, strlen(word));
		break;
	case CONTROL_SESSION_DEADLINE:
		put_deadline(r->deadline_ns, out);
		break;
	case CONTROL_SESSION_PARTIAL_FILES:
		buf_add_str(out, r->begin.partial_files ? "yes" : "no");
		break;
	case CONTROL_SESSION_SNAPSHOT:
		word = r->begin.snapshot;
		buf_add_str(out, word != NULL ? word : "none");
		break;
	default:
		put_volumes(r, out);
		break;
	}
	buf_add_char(out, '\n');
	return 0;
}

/* --- components ----------------------------------------------------------- */

static void
put_base(const struct party_component *k, struct buf *out)
{
	hex_add(out, k->base_id, sizeof(k->base_id));
	buf_add_char(out, '\n');
}

/* Stamps are byte for byte what they were: no newline is added. */
static int
component_text(const struct control *c, const struct control_node *n,
	       struct buf *out)
{
	const struct party_component *k = control_tree_session_component(c, n);

	if (k == NULL)
		return 1;
	if (n->kind == CONTROL_BASE) {
		put_base(k, out);
	} else if (n->kind == CONTROL_STAMP) {
		if (k->stamp == NULL)
			return 1;
		buf_add(out, k->stamp, k->stamp_len);
	} else {
		if (k->previous_stamp == NULL)
			return 1;
		buf_add(out, k->previous_stamp, k->previous_len);
	}
	return 0;
}

/* --- all ------------------------------------------------------------------ */

static int
writer_text(const struct control *c, const struct control_node *n,
	    struct buf *out, struct err *e)
{
	struct party *p = control_tree_party(c, n);

	if (p == NULL)
		return 1;
	if (n->kind == CONTROL_METADATA) {
		buf_add(out, p->document_text.data, p->document_text.len);
		return 0;
	}
	/* Of `declare` that is NULL. */
	return party_pending(p, control_tree_component(n), out, e);
}

int
control_text(const struct control *c, const struct control_node *n,
	     struct buf *out, struct err *e)
{
	int rc = 0;

	switch (n->kind) {
	case CONTROL_README:
		buf_add_str(out, readme);
		break;
	case CONTROL_VERSION:
		buf_add_str(out, CONTROL_VERSION_TEXT);
		break;
	case CONTROL_METADATA:
	case CONTROL_DECLARE:
	case CONTROL_PENDING:
		rc = writer_text(c, n, out, e);
		break;
	case CONTROL_PREVIOUS_STAMP:
	case CONTROL_BASE:
	case CONTROL_STAMP:
		rc = component_text(c, n, out);
		break;
	default:
		rc = session_text(control_tree_round(c, n), n->kind, out);
		break;
	}
	return rc != 0 ? rc : buf_ok(out, e);
}

size_t
control_text_len(enum control_kind kind)
{
	switch (kind) {
	case CONTROL_README:
		return sizeof(readme) - 1;
	case CONTROL_VERSION:
		return sizeof(CONTROL_VERSION_TEXT) - 1;
	default:
		return 0;
	}
}

bool
control_text_session(const struct control *c, const struct control_node *n,
		     struct buf *out)
{
	const struct party *p = control_tree_party(c, n);

	if (p == NULL || p->session == NULL)
		return false;
	buf_printf(out, "../../sessions/%s", p->session->id);
	return true;
}
