/*
 * Entries as bytes, and back; and what is in them of files.
 *
 * The reader has one buffer that holds the largest body without its ranges;
 * ranges are decoded from it piece by piece.  So reading takes that buffer and
 * sixteen bytes a range, and a length that lies takes nothing: it is compared
 * with the bytes that are there before anything is allocated.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/journal.h"

#include "base/buf.h"
#include "base/crc.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "src/writer/journal_internal.h"
#include "src/writer/ranges.h"
#include "src/writer/refuse.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Stored. */
enum {
	HAS_SESSION = 1 << 0, /* session and event */
	IN_WINDOW = 1 << 1,
	HAS_FACTS = 1 << 2,
	FACTS_YOUNG = 1 << 3,
	FACTS_BTIME = 1 << 4,
	HAS_COMPONENT = 1 << 5,
	HAS_PATH = 1 << 6,
	HAS_RANGES = 1 << 7,
};

#define STRING_MAX 65536 /* bytes of any one */

/* The most that a body has without its pairs: four strings, and little else. */
#define HEAD_MAX   (4 * (STRING_MAX + 3) + 512)
#define BUFFER_LEN (1u << 19)
#define NAME       "journal" /* in sentences about input and output */

/* --- facts ------------------------------------------------------------------ */

bool
facts_same_file(const struct facts *a, const struct facts *b)
{
	if (!a->known || !b->known || a->ino != b->ino ||
	    a->has_btime != b->has_btime)
		return false;
	if (a->has_btime && ts_cmp(a->btime, b->btime) != 0)
		return false;
	return strncmp(a->fs, b->fs, sizeof(a->fs)) == 0;
}

bool
facts_equal(const struct facts *a, const struct facts *b)
{
	return facts_same_file(a, b) && !a->young && !b->young &&
	       a->size == b->size && ts_cmp(a->mtime, b->mtime) == 0 &&
	       ts_cmp(a->ctime, b->ctime) == 0;
}

/* --- writing ---------------------------------------------------------------- */

static void
put_time(struct buf *out, struct ts t)
{
	wr_u64(out, (uint64_t)t.sec);
	wr_u32(out, t.nsec);
}

static void
put_facts(struct buf *out, const struct facts *f)
{
	wr_string(out, f->fs, strnlen(f->fs, sizeof(f->fs)));
	wr_u64(out, f->ino);
	wr_u64(out, f->size);
	put_time(out, f->mtime);
	put_time(out, f->ctime);
	if (f->has_btime)
		put_time(out, f->btime);
}

static int
put_string(struct buf *out, const char *s, size_t len, struct err *e)
{
	if (len > STRING_MAX || (len > 0 && memchr(s, '\0', len) != NULL))
		return refuse_set(e, EINVAL,
				  "journal: a text that is too long for an "
				  "entry, or has a NUL");
	wr_string(out, s, len);
	return 0;
}

static bool
has_session(const struct journal_entry *en)
{
	size_t i;

	for (i = 0; i < sizeof(en->session); i++)
		if (en->session[i] != 0)
			return true;
	return en->event != 0;
}

static uint8_t
flags_of(const struct journal_entry *en)
{
	unsigned flags = 0;

	if (has_session(en))
		flags |= HAS_SESSION;
	if (en->window)
		flags |= IN_WINDOW;
	if (en->facts.known) {
		flags |= HAS_FACTS;
		if (en->facts.young)
			flags |= FACTS_YOUNG;
		if (en->facts.has_btime)
			flags |= FACTS_BTIME;
	}
	if (en->component != NULL)
		flags |= HAS_COMPONENT;
	if (en->path != NULL)
		flags |= HAS_PATH;
	if (en->ranges != NULL)
		flags |= HAS_RANGES;
	return (uint8_t)flags;
}

static int
put_body(const struct journal_entry *en, struct buf *out, struct err *e)
{
	uint8_t flags = flags_of(en);

	wr_u64(out, en->seq);
	wr_u8(out, (uint8_t)en->kind);
	wr_u8(out, flags);
	put_time(out, en->when);
	if ((flags & HAS_SESSION) != 0) {
		wr_bytes(out, en->session, sizeof(en->session));
		wr_u64(out, en->event);
	}
	if ((flags & HAS_FACTS) != 0)
		put_facts(out, &en->facts);
	if (put_string(out, en->text, en->text_len, e) < 0)
		return -1;
	if (en->component != NULL &&
	    put_string(out, en->component, strlen(en->component), e) < 0)
		return -1;
	if (en->path != NULL &&
	    put_string(out, en->path, strlen(en->path), e) < 0)
		return -1;
	if (put_string(out, en->why, en->why != NULL ? strlen(en->why) : 0, e) <
	    0)
		return -1;
	if (en->ranges != NULL)
		wr_u64(out, en->ranges->count);
	return buf_ok(out, e);
}

int
journal_encode_head(const struct journal_entry *en, struct buf *out,
		    struct err *e)
{
	size_t at = out->len;
	uint64_t body;

	wr_u32(out, 0);
	if (put_body(en, out, e) < 0)
		return -1;
	body = out->len - at - FRAME_LENGTH;
	if (en->ranges != NULL)
		body += (uint64_t)en->ranges->count * RANGES_PAIR;
	if (body > JOURNAL_ENTRY_MAX)
		return refuse_set(e, EDQUOT,
				  "journal: an entry of %" PRIu64 " bytes",
				  body);
	wr_u32_at(out, at, (uint32_t)body);
	return 0;
}

uint64_t
journal_frame_len(const uint8_t *p)
{
	struct rd r = rd_init(p, FRAME_LENGTH);

	return (uint64_t)rd_u32(&r) + FRAME_LENGTH + FRAME_CHECKSUM;
}

int
journal_encode(const struct journal_entry *en, struct buf *out, struct err *e)
{
	size_t at = out->len;
	size_t i;
	int rc;

	rc = journal_encode_head(en, out, e);
	if (rc == 0 &&
	    buf_reserve(out, (size_t)journal_frame_len(out->data + at)))
		for (i = 0; en->ranges != NULL && i < en->ranges->count; i++) {
			wr_u64(out, en->ranges->r[i].off);
			wr_u64(out, en->ranges->r[i].len);
		}
	if (rc == 0 && !out->failed)
		wr_u64(out, crc64(0, out->data + at, out->len - at));
	if (rc == 0)
		rc = buf_ok(out, e);
	if (rc < 0 && out->len > at)
		out->len = at;
	return rc;
}

/* --- reading ---------------------------------------------------------------- */

struct journal_reader {
	int fd;
	uint64_t at, to; /* the next byte that is not in the buffer, the end */
	uint8_t *data;   /* BUFFER_LEN */
	size_t pos, len; /* what of it is to come */
	uint64_t from;   /* where this frame begins */
	uint64_t crc;    /* of this frame, so far */
	struct buf strings; /* of this entry, each with a NUL */
	struct ranges ranges;
};

int
journal_reader_new(int fd, uint64_t from, uint64_t to,
		   struct journal_reader **out, struct err *e)
{
	struct journal_reader *r = mem_zalloc(sizeof(*r));

	if (r == NULL)
		return err_nomem(e);
	r->data = mem_alloc(BUFFER_LEN);
	if (r->data == NULL) {
		mem_free(r);
		return err_nomem(e);
	}
	r->fd = fd;
	r->at = from;
	r->to = to > from ? to : from;
	*out = r;
	return 0;
}

void
journal_reader_free(struct journal_reader *r)
{
	if (r == NULL)
		return;
	mem_free(r->data);
	buf_clear(&r->strings);
	ranges_clear(&r->ranges);
	mem_free(r);
}

static int
corrupt(const struct journal_reader *r, const char *sentence, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "journal: entry at %" PRIu64 ": %s",
		       r->from, sentence);
}

static uint64_t
left(const struct journal_reader *r)
{
	return r->to - r->at + (r->len - r->pos);
}

uint64_t
journal_reader_at(const struct journal_reader *r)
{
	return r->to - left(r);
}

/* The next n bytes, n <= BUFFER_LEN, without taking them. */
static const uint8_t *
peek(struct journal_reader *r, size_t n, struct err *e)
{
	uint64_t more = r->to - r->at;
	ssize_t got;

	if (r->len - r->pos >= n)
		return r->data + r->pos;
	memmove(r->data, r->data + r->pos, r->len - r->pos);
	r->len -= r->pos;
	r->pos = 0;
	if (more > BUFFER_LEN - r->len)
		more = BUFFER_LEN - r->len;
	got = io_read_some(r->fd, r->data + r->len, (size_t)more, r->at, NAME,
			   e);
	if (got < 0)
		return NULL;
	r->len += (size_t)got;
	r->at += (size_t)got;
	if (r->len >= n)
		return r->data;
	(void)corrupt(r, "the file ends in it", e);
	return NULL;
}

/* Take n bytes that were peeked at. */
static void
take(struct journal_reader *r, size_t n)
{
	r->crc = crc64(r->crc, r->data + r->pos, n);
	r->pos += n;
}

static struct ts
get_time(struct rd *c)
{
	struct ts t;

	t.sec = (int64_t)rd_u64(c);
	t.nsec = rd_u32(c);
	if (t.nsec >= 1000000000)
		rd_go_bad(c);
	return t;
}

static void
get_facts(struct rd *c, unsigned flags, struct facts *f)
{
	const uint8_t *fs;
	size_t len;

	f->known = true;
	f->young = (flags & FACTS_YOUNG) != 0;
	f->has_btime = (flags & FACTS_BTIME) != 0;
	fs = rd_string(c, sizeof(f->fs) - 1, &len);
	if (len > 0 && memchr(fs, '\0', len) != NULL)
		rd_go_bad(c);
	else if (len > 0)
		memcpy(f->fs, fs, len);
	f->ino = rd_u64(c);
	f->size = rd_u64(c);
	f->mtime = get_time(c);
	f->ctime = get_time(c);
	if (f->has_btime)
		f->btime = get_time(c);
}

/* Room for all strings of the entry was made: they do not move. */
static const char *
get_string(struct rd *c, struct buf *strings, size_t *len)
{
	const uint8_t *p = rd_string(c, STRING_MAX, len);
	size_t at = strings->len;

	if (*len > 0 && memchr(p, '\0', *len) != NULL)
		rd_go_bad(c);
	if (!rd_ok(c))
		return NULL;
	buf_add(strings, p, *len);
	buf_add_char(strings, '\0');
	return (const char *)strings->data + at;
}

/* The same, where an empty one is none. */
static const char *
get_text(struct rd *c, struct buf *strings, size_t *len)
{
	const char *s = get_string(c, strings, len);

	return *len > 0 ? s : NULL;
}

/* All of the body but pairs of ranges; *count is how many there are. */
static int
get_body(struct journal_reader *r, struct rd *c, struct journal_entry *out,
	 uint64_t *count, struct err *e)
{
	unsigned flags;
	size_t len;

	buf_reset(&r->strings);
	if (!buf_reserve(&r->strings, c->left + 4))
		return err_nomem(e);
	out->seq = rd_u64(c);
	out->kind = (enum journal_kind)rd_u8(c);
	flags = rd_u8(c);
	out->when = get_time(c);
	if ((flags & HAS_SESSION) != 0) {
		rd_copy(c, out->session, sizeof(out->session));
		out->event = rd_u64(c);
	}
	out->window = (flags & IN_WINDOW) != 0;
	if ((flags & HAS_FACTS) != 0)
		get_facts(c, flags, &out->facts);
	out->text = get_text(c, &r->strings, &out->text_len);
	if ((flags & HAS_COMPONENT) != 0)
		out->component = get_string(c, &r->strings, &len);
	if ((flags & HAS_PATH) != 0)
		out->path = get_string(c, &r->strings, &len);
	out->why = get_text(c, &r->strings, &len);
	*count = (flags & HAS_RANGES) != 0 ? rd_u64(c) : 0;
	if ((flags & HAS_RANGES) != 0)
		out->ranges = &r->ranges;
	if (!rd_ok(c) || out->kind < JOURNAL_STATEMENT ||
	    out->kind > JOURNAL_STOP)
		return corrupt(r, "is none", e);
	return 0;
}

/* `count` pairs, which is `bytes`; what a set would not have is no entry. */
static int
get_ranges(struct journal_reader *r, uint64_t count, uint64_t bytes,
	   struct err *e)
{
	uint8_t head[RANGES_FILE_MIN];
	struct ranges_file f;
	const uint8_t *p;
	size_t n;
	size_t i;

	for (i = 0; i < sizeof(head); i++)
		head[i] = (uint8_t)(count >> 8 * i);
	if (ranges_file_begin(&f, &r->ranges, head, sizeof(head) + bytes, e) <
	    0)
		return -1;
	while (bytes > 0) {
		n = bytes < BUFFER_LEN ? (size_t)bytes : BUFFER_LEN;
		p = peek(r, n, e);
		if (p == NULL || ranges_file_add(&f, p, n, e) < 0)
			return -1;
		take(r, n);
		bytes -= n;
	}
	if (ranges_file_end(&f, e) < 0)
		return -1;
	if (r->ranges.count != count)
		return corrupt(r, "its ranges are no set", e);
	return 0;
}

static int
check_sum(struct journal_reader *r, struct err *e)
{
	const uint8_t *p = peek(r, FRAME_CHECKSUM, e);
	struct rd c;

	if (p == NULL)
		return -1;
	c = rd_init(p, FRAME_CHECKSUM);
	if (rd_u64(&c) != r->crc)
		return corrupt(r, "its checksum is wrong", e);
	r->pos += FRAME_CHECKSUM;
	return 0;
}

/* The length of the next body, which is there. */
static int
get_length(struct journal_reader *r, size_t *len, struct err *e)
{
	const uint8_t *p;
	struct rd c;

	r->from = r->to - left(r);
	r->crc = 0;
	p = peek(r, FRAME_LENGTH, e);
	if (p == NULL)
		return -1;
	c = rd_init(p, FRAME_LENGTH);
	*len = rd_u32(&c);
	if (*len > JOURNAL_ENTRY_MAX)
		return corrupt(r, "its length is too large", e);
	if (left(r) < (uint64_t)FRAME_LENGTH + *len + FRAME_CHECKSUM)
		return corrupt(r, "the file ends in it", e);
	take(r, FRAME_LENGTH);
	return 0;
}

static int
read_entry(struct journal_reader *r, struct journal_entry *out, struct err *e)
{
	const uint8_t *p;
	uint64_t count = 0;
	size_t head;
	size_t len;
	struct rd c;

	if (get_length(r, &len, e) < 0)
		return -1;
	head = len < HEAD_MAX ? len : HEAD_MAX;
	p = peek(r, head, e);
	if (p == NULL)
		return -1;
	c = rd_init(p, head);
	if (get_body(r, &c, out, &count, e) < 0)
		return -1;
	head -= c.left;
	take(r, head);
	len -= head;
	if (count > RANGES_MAX || len != count * RANGES_PAIR)
		return corrupt(r, "its length is not that of what is in it", e);
	if (out->ranges != NULL && get_ranges(r, count, len, e) < 0)
		return -1;
	return check_sum(r, e);
}

int
journal_reader_next(struct journal_reader *r, struct journal_entry *out,
		    struct err *e)
{
	struct journal_entry en = { 0 };
	struct err why = { 0 };

	ranges_clear(&r->ranges);
	if (left(r) == 0)
		return 0;
	if (read_entry(r, &en, &why) == 0) {
		*out = en;
		return 1;
	}
	/* Nobody asked for these ranges: what is wrong with them is rot. */
	if (why.kind == ERR_USAGE)
		(void)corrupt(r, why.text, e);
	err_move(e, &why);
	return -1;
}
