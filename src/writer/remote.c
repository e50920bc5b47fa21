#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/remote.h"

#include "base/buf.h"
#include "src/writer/grammar.h"
#include "src/writer/metadata.h"

static void
put_one(const struct metadata_dependency *d, struct buf *out)
{
	struct buf target = { 0 };

	buf_printf(&target, "//%s/%s", d->machine, d->target);
	buf_add_str(out, d->writer);
	grammar_put(out, buf_str(&target));
	out->failed = out->failed || target.failed;
	buf_clear(&target);
}

void
remote_list(const struct metadata *m, size_t component, struct buf *out)
{
	size_t i;

	for (i = 0; i < m->dependencies.count; i++) {
		const struct metadata_dependency *d = &m->dependencies.v[i];

		if (d->machine == NULL ||
		    !metadata_is_member(m, d->component, component))
			continue;
		if (out->len > 0)
			buf_add_char(out, '\n');
		put_one(d, out);
	}
}
