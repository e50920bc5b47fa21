/*
 * metadata_internal - what the files of metadata share.
 */
#ifndef ASOF_WRITER_METADATA_INTERNAL_H
#define ASOF_WRITER_METADATA_INTERNAL_H

#include "src/writer/metadata.h"

/* Where the name s[0..len) is in by_name, or would be; *found says which. */
size_t metadata_name_place(const struct metadata *m, const char *s, size_t len,
			   bool *found);

/*
 * Judge what needs the whole document, whose lines have been taken, and make
 * by_spec.  EDQUOT: its normal form is too long; ENOENT: no such file set;
 * EINVAL: the rest.
 */
int metadata_check(struct metadata *m, struct err *e);

#endif
