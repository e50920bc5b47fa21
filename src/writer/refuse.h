/*
 * refuse - saying no to a writer.
 *
 * What a writer hands in (a line, a document, a ranges file) is taken or
 * refused.  A refusal is an ERR_USAGE whose saved_errno is what the write()
 * that brought it shall fail with; its sentence goes into the writer's log.
 * Which errno means what is in doc/control.md, section 2.
 */
#ifndef ASOF_WRITER_REFUSE_H
#define ASOF_WRITER_REFUSE_H

struct err;

/*
 * Set *e, unless it is set, to a refusal with this errno and sentence.
 * Always returns -1.
 */
int refuse_set(struct err *e, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), cold));

/* What write() shall fail with: ENOMEM, the refusal's errno, else EIO. */
int refuse_errno(const struct err *e);

#endif
