/*
 * A pattern is compiled into segments, one for each component of a path it
 * speaks about, and a segment into small ops.  Two nested loops match, both
 * without recursion: inside a name only the last `*` is ever taken up again,
 * across names only the last `**`.  That is enough, because whatever an
 * earlier star could take more of, the later one can take as well; so the
 * cost is bounded by the product of the lengths.
 *
 * The two commonest shapes, a plain name and `*` with a plain end, are
 * compared with one memcmp.
 *
 * gitignore(5) lets malformed patterns (an open `[`, a trailing backslash)
 * match nothing in silence.  Here they are refused: who excludes something
 * wants to hear that it does not work.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/engine/exclude.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#define FILE_LEN_MAX ((size_t)16 << 20) /* of a file of patterns */
#define CLASS_LEN    32                 /* bits for 256 bytes */

enum op_kind {
	OP_BYTE,  /* this byte */
	OP_ANY,   /* `?`: any one byte */
	OP_STAR,  /* `*`: any bytes, or none */
	OP_CLASS, /* `[...]`: one byte of the set */
};

struct op {
	uint8_t kind;
	uint8_t byte;
	uint32_t set; /* OP_CLASS: offset in the pattern's sets */
};

enum segment_kind {
	SEG_NAME, /* plain bytes */
	SEG_TAIL, /* `*` and plain bytes */
	SEG_OPS,  /* the rest */
	SEG_ANY,  /* `**`: any number of names */
};

struct segment {
	uint8_t kind;
	size_t from, len; /* in bytes (SEG_NAME, SEG_TAIL) or in ops */
};

struct pattern {
	char *text; /* as given */
	bool negated;
	bool dir_only;
	bool anchored; /* has a slash: the whole path, not just the name */
	bool absolute; /* begins with a source's path: starts at "/" */
	struct buf segments; /* struct segment each */
	struct buf ops;      /* struct op each */
	struct buf bytes;    /* of plain names and tails */
	struct buf sets;     /* CLASS_LEN bytes each */
	struct buf head;     /* the plain bytes it begins with, unquoted */
	bool all_head;       /* it has nothing else */
};

struct exclude {
	struct pattern *pattern;
	size_t count, cap;
	char **source;
	size_t source_count;
};

int
exclude_new(struct exclude **out, struct err *e)
{
	struct exclude *x;

	x = mem_zalloc(sizeof(*x));
	if (x == NULL)
		return err_nomem(e);
	*out = x;
	return 0;
}

static void
clear_pattern(struct pattern *p)
{
	mem_free(p->text);
	buf_clear(&p->segments);
	buf_clear(&p->ops);
	buf_clear(&p->bytes);
	buf_clear(&p->sets);
	buf_clear(&p->head);
}

void
exclude_free(struct exclude *x)
{
	size_t i;

	if (x == NULL)
		return;
	for (i = 0; i < x->count; i++)
		clear_pattern(&x->pattern[i]);
	for (i = 0; i < x->source_count; i++)
		mem_free(x->source[i]);
	mem_free(x->pattern);
	mem_free(x->source);
	mem_free(x);
}

bool
exclude_empty(const struct exclude *x)
{
	return x->count == 0;
}

size_t
exclude_count(const struct exclude *x)
{
	return x->count;
}

const char *
exclude_pattern(const struct exclude *x, size_t i)
{
	return x->pattern[i].text;
}

/* --- compiling -------------------------------------------------------------- */

/* What is left of a pattern's text while it is compiled. */
struct text {
	const char *p, *end;
};

static size_t
left(const struct text *t)
{
	return t->p < t->end ? (size_t)(t->end - t->p) : 0;
}

static void
set_add(uint8_t set[CLASS_LEN], unsigned from, unsigned to)
{
	unsigned c;

	for (c = from; c <= to; c++)
		set[c / 8] |= (uint8_t)(1u << (c % 8));
}

static bool
set_has(const uint8_t *set, uint8_t c)
{
	return (set[c / 8] >> (c % 8) & 1) != 0;
}

/* Add a class by name, ASCII whatever the locale.  False: no such name. */
static bool
set_add_named(uint8_t set[CLASS_LEN], const char *name, size_t len)
{
	static const struct {
		const char *name;
		const char *ranges; /* pairs: from, to */
	} classes[] = {
		{ "alnum", "09AZaz" },   { "alpha", "AZaz" },
		{ "blank", "\t\t  " },   { "cntrl", "\x01\x1f\x7f\x7f" },
		{ "digit", "09" },       { "graph", "!~" },
		{ "lower", "az" },       { "print", " ~" },
		{ "punct", "!/:@[`{~" }, { "space", "\t\r  " },
		{ "upper", "AZ" },       { "xdigit", "09AFaf" },
	};
	const char *r;
	size_t i;

	for (i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (strlen(classes[i].name) != len ||
		    memcmp(classes[i].name, name, len) != 0)
			continue;
		for (r = classes[i].ranges; *r != '\0'; r += 2)
			set_add(set, (uint8_t)r[0], (uint8_t)r[1]);
		return true;
	}
	return false;
}

/*
 * "[:name:]" at t->p, which stands on its "[:".  1 taken, 0 it is not one
 * (the `[` is then a byte like others), -1 no such class.
 */
static int
take_named(struct text *t, uint8_t set[CLASS_LEN])
{
	const char *name = t->p + 2;
	const char *close;

	close = memchr(name, ']', left(t) - 2);
	if (close == NULL || close == name || close[-1] != ':')
		return 0;
	if (!set_add_named(set, name, (size_t)(close - 1 - name)))
		return -1;
	t->p = close + 1;
	return 1;
}

/* One byte of a class, perhaps quoted; false at the end of the pattern. */
static bool
take_member(struct text *t, uint8_t *out)
{
	if (t->p < t->end && *t->p == '\\')
		t->p++;
	if (t->p == t->end)
		return false;
	*out = (uint8_t)*t->p++;
	return true;
}

/* A member or a range of a class. */
static bool
take_range(struct text *t, uint8_t set[CLASS_LEN])
{
	uint8_t from;
	uint8_t to;

	if (!take_member(t, &from))
		return false;
	to = from;
	if (left(t) >= 2 && t->p[0] == '-' && t->p[1] != ']') {
		t->p++;
		if (!take_member(t, &to))
			return false;
	}
	/* As in git, a range that is upside down holds what it begins with. */
	set_add(set, from, from);
	if (from < to)
		set_add(set, from, to);
	return true;
}

/* The class behind a `[`; false when it has no end or an unknown name. */
static bool
take_class(struct text *t, uint8_t set[CLASS_LEN])
{
	bool negated = false;
	bool first = true;
	int rc;
	size_t i;

	memset(set, 0, CLASS_LEN);
	if (t->p < t->end && (*t->p == '!' || *t->p == '^')) {
		negated = true;
		t->p++;
	}
	for (; t->p < t->end && (first || *t->p != ']'); first = false) {
		rc = 0;
		if (left(t) >= 2 && t->p[0] == '[' && t->p[1] == ':')
			rc = take_named(t, set);
		if (rc < 0 || (rc == 0 && !take_range(t, set)))
			return false;
	}
	if (t->p == t->end)
		return false;
	t->p++;
	for (i = 0; negated && i < CLASS_LEN; i++)
		set[i] = (uint8_t)~set[i];
	return true;
}

/* The ops of one segment, up to a slash outside a class or the end. */
static int
take_ops(struct text *t, struct pattern *p, struct err *e)
{
	struct op op;
	uint8_t set[CLASS_LEN];

	for (; t->p < t->end && *t->p != '/';
	     buf_add(&p->ops, &op, sizeof(op))) {
		memset(&op, 0, sizeof(op));
		op.kind = OP_BYTE;
		op.byte = (uint8_t)*t->p++;
		switch (op.byte) {
		case '?':
			op.kind = OP_ANY;
			break;
		case '*':
			op.kind = OP_STAR;
			while (t->p < t->end && *t->p == '*')
				t->p++;
			break;
		case '[':
			op.kind = OP_CLASS;
			op.set = (uint32_t)p->sets.len;
			if (!take_class(t, set))
				return err_set(e, ERR_USAGE,
					       "a [ without its ], or a "
					       "[:class:] that does not exist");
			buf_add(&p->sets, set, sizeof(set));
			break;
		case '\\':
			if (t->p == t->end)
				return err_set(e, ERR_USAGE,
					       "a backslash at the end");
			op.byte = (uint8_t)*t->p;
			/* A quoted slash still divides names. */
			if (op.byte == '/')
				return 0;
			t->p++;
			break;
		default:
			break;
		}
	}
	return 0;
}

/* Is it, from op `from` on, plain bytes?  Then they go to p->bytes. */
static bool
plain_bytes(struct pattern *p, size_t from, size_t count)
{
	const struct op *op = (const struct op *)(const void *)p->ops.data;
	size_t i;

	for (i = from; i < count; i++)
		if (op[i].kind != OP_BYTE)
			return false;
	for (i = from; i < count; i++)
		buf_add(&p->bytes, &op[i].byte, 1);
	return true;
}

/* Compile the segment at t->p. */
static int
take_segment(struct text *t, struct pattern *p, struct err *e)
{
	struct segment seg;
	const char *from = t->p;
	const struct op *op;
	size_t first = p->ops.len / sizeof(struct op);
	size_t count;
	size_t bytes = p->bytes.len;

	while (t->p < t->end && *t->p == '*')
		t->p++;
	memset(&seg, 0, sizeof(seg));
	if (t->p - from >= 2 && (t->p == t->end || *t->p == '/')) {
		seg.kind = SEG_ANY;
		buf_add(&p->segments, &seg, sizeof(seg));
		return 0;
	}
	t->p = from;
	if (take_ops(t, p, e) < 0)
		return -1;
	if (buf_ok(&p->ops, e) < 0)
		return -1;
	count = p->ops.len / sizeof(struct op);
	op = (const struct op *)(const void *)p->ops.data;
	seg.kind = SEG_OPS;
	seg.from = first;
	seg.len = count - first;
	if (plain_bytes(p, first, count))
		seg.kind = SEG_NAME;
	else if (op[first].kind == OP_STAR && plain_bytes(p, first + 1, count))
		seg.kind = SEG_TAIL;
	if (seg.kind != SEG_OPS) {
		p->ops.len = first * sizeof(struct op);
		seg.from = bytes;
		seg.len = p->bytes.len - bytes;
	}
	buf_add(&p->segments, &seg, sizeof(seg));
	return 0;
}

/* The bytes the pattern begins with before its first special one. */
static void
take_head(const struct text *t, struct pattern *p)
{
	const char *s;

	for (s = t->p; s < t->end && strchr("*?[", *s) == NULL; s++) {
		if (*s == '\\' && s + 1 < t->end)
			s++;
		buf_add(&p->head, s, 1);
	}
	p->all_head = s == t->end;
}

/* Compile the text behind a leading `!` and before a trailing `/`. */
static int
compile(struct text t, struct pattern *p, struct err *e)
{
	if (t.p == t.end)
		return err_set(e, ERR_USAGE, "it is empty");
	p->anchored = memchr(t.p, '/', left(&t)) != NULL;
	take_head(&t, p);
	if (*t.p == '/')
		t.p++;
	for (;;) {
		if (t.p == t.end || *t.p == '/')
			return err_set(e, ERR_USAGE,
				       "an empty name between slashes");
		if (take_segment(&t, p, e) < 0)
			return -1;
		if (t.p == t.end)
			break;
		t.p++;
	}
	if (buf_ok(&p->segments, e) < 0 || buf_ok(&p->bytes, e) < 0 ||
	    buf_ok(&p->sets, e) < 0 || buf_ok(&p->head, e) < 0)
		return -1;
	return 0;
}

/* Does the pattern begin with this path, and not just with its letters? */
static bool
begins_with(const struct pattern *p, const char *path, size_t len)
{
	if (p->head.len == 0 || p->head.data[0] != '/')
		return false;
	while (len > 0 && path[len - 1] == '/')
		len--;
	if (p->head.len < len || memcmp(p->head.data, path, len) != 0)
		return false;
	return p->head.len == len ? p->all_head : p->head.data[len] == '/';
}

static int
make_room(struct exclude *x, struct err *e)
{
	struct pattern *more;
	size_t cap = x->cap < 8 ? 8 : x->cap * 2;

	if (x->count < x->cap)
		return 0;
	more = mem_resize(x->pattern, cap, sizeof(*more));
	if (more == NULL)
		return err_nomem(e);
	x->pattern = more;
	x->cap = cap;
	return 0;
}

int
exclude_add(struct exclude *x, const char *pattern, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	struct pattern p;
	struct text t = { pattern, pattern + strlen(pattern) };
	size_t i;

	memset(&p, 0, sizeof(p));
	if (make_room(x, e) < 0)
		return -1;
	p.text = mem_strdup(pattern);
	if (p.text == NULL)
		return err_nomem(e);
	if (*t.p == '!') {
		p.negated = true;
		t.p++;
	}
	if (t.end > t.p && t.end[-1] == '/') {
		p.dir_only = true;
		t.end--;
	}
	if (compile(t, &p, e) < 0) {
		clear_pattern(&p);
		return err_prefix(
			e, "exclude pattern \"%s\"",
			path_show_in(shown, pattern, strlen(pattern)));
	}
	for (i = 0; i < x->source_count && !p.absolute; i++)
		p.absolute =
			begins_with(&p, x->source[i], strlen(x->source[i]));
	x->pattern[x->count++] = p;
	return 0;
}

int
exclude_add_source(struct exclude *x, const char *path, struct err *e)
{
	char **more;
	char *copy;
	size_t i;

	more = mem_resize(x->source, x->source_count + 1, sizeof(*more));
	if (more == NULL)
		return err_nomem(e);
	x->source = more;
	copy = mem_strdup(path);
	if (copy == NULL)
		return err_nomem(e);
	x->source[x->source_count++] = copy;
	for (i = 0; i < x->count; i++)
		if (begins_with(&x->pattern[i], path, strlen(path)))
			x->pattern[i].absolute = true;
	return 0;
}

/* --- files of patterns ------------------------------------------------------ */

/*
 * All of it, appended to *out.  It is the person's own file, so links are
 * followed and pipes are read.
 */
static int
read_patterns(const char *path, struct buf *out, struct err *e)
{
	char shown[PATH_SHOW_LEN];
	uint8_t part[16384];
	ssize_t n;
	int fd;

	(void)path_show_in(shown, path, strlen(path));
	fd = sys_repo->openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, "open %s", shown);
	for (;;) {
		n = sys_repo->read(fd, part, sizeof(part));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		buf_add(out, part, (size_t)n);
		if (out->failed || out->len > FILE_LEN_MAX)
			break;
	}
	if (n < 0)
		(void)err_sys(e, "read %s", shown);
	else if (out->len > FILE_LEN_MAX)
		(void)err_set(e, ERR_USAGE, "%s is longer than %zu bytes",
			      shown, FILE_LEN_MAX);
	else if (buf_ok(out, e) == 0)
		n = 1;
	(void)sys_repo->close(fd);
	return n == 1 ? 0 : -1;
}

/* Drop trailing blanks, except a quoted one. */
static size_t
trimmed(const char *s, size_t len)
{
	size_t keep = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (s[i] == '\\' && i + 1 < len)
			i++;
		else if (s[i] == ' ')
			continue;
		keep = i + 1;
	}
	return keep;
}

static int
add_line(struct exclude *x, const char *s, size_t len, struct err *e)
{
	char *line;
	int rc;

	if (len > 0 && s[len - 1] == '\r')
		len--;
	len = trimmed(s, len);
	if (len == 0 || s[0] == '#')
		return 0;
	if (memchr(s, '\0', len) != NULL)
		return err_set(e, ERR_USAGE, "it holds a NUL byte");
	line = mem_dup(s, len);
	if (line == NULL)
		return err_nomem(e);
	rc = exclude_add(x, line, e);
	mem_free(line);
	return rc;
}

int
exclude_add_file(struct exclude *x, const char *path, struct err *e)
{
	static const char mark[] = "\xef\xbb\xbf"; /* UTF-8's byte order mark */
	char shown[PATH_SHOW_LEN];
	struct buf text = { 0 };
	const char *s;
	const char *end;
	const char *nl;
	size_t line = 1;
	int rc = -1;

	if (read_patterns(path, &text, e) < 0)
		goto out;
	s = buf_str(&text);
	end = s + text.len;
	if (text.len >= 3 && memcmp(s, mark, 3) == 0)
		s += 3;
	for (; s < end; s = nl + 1, line++) {
		nl = memchr(s, '\n', (size_t)(end - s));
		if (nl == NULL)
			nl = end;
		if (add_line(x, s, (size_t)(nl - s), e) < 0) {
			(void)err_prefix(
				e, "%s, line %zu",
				path_show_in(shown, path, strlen(path)), line);
			goto out;
		}
	}
	rc = 0;
out:
	buf_clear(&text);
	return rc;
}

/* --- matching --------------------------------------------------------------- */

static const struct segment *
segments_of(const struct pattern *p)
{
	return (const struct segment *)(const void *)p->segments.data;
}

static bool
match_op(const struct pattern *p, const struct op *op, uint8_t c)
{
	switch (op->kind) {
	case OP_BYTE:
		return op->byte == c;
	case OP_CLASS:
		return set_has(p->sets.data + op->set, c);
	default:
		return true;
	}
}

static bool
match_ops(const struct pattern *p, const struct segment *seg, const char *s,
	  size_t len)
{
	const struct op *op =
		(const struct op *)(const void *)p->ops.data + seg->from;
	size_t star = SIZE_MAX; /* the op behind the last star */
	size_t taken = 0;       /* what that star leaves off at */
	size_t o = 0;
	size_t i = 0;

	while (i < len || o < seg->len) {
		if (o < seg->len && op[o].kind == OP_STAR) {
			star = ++o;
			taken = i;
			continue;
		}
		if (o < seg->len && i < len &&
		    match_op(p, &op[o], (uint8_t)s[i])) {
			o++;
			i++;
			continue;
		}
		if (star == SIZE_MAX || taken == len)
			return false;
		i = ++taken;
		o = star;
	}
	return true;
}

static bool
same_bytes(const struct pattern *p, const struct segment *seg, const char *s)
{
	return seg->len == 0 ||
	       memcmp(s, p->bytes.data + seg->from, seg->len) == 0;
}

static bool
match_name(const struct pattern *p, const struct segment *seg, const char *s,
	   size_t len)
{
	switch (seg->kind) {
	case SEG_NAME:
		return len == seg->len && same_bytes(p, seg, s);
	case SEG_TAIL:
		return len >= seg->len &&
		       same_bytes(p, seg, s + len - seg->len);
	case SEG_ANY:
		return true;
	default:
		return match_ops(p, seg, s, len);
	}
}

static size_t
name_len(const char *s)
{
	return (size_t)(strchrnul(s, '/') - s);
}

/* Behind the name at s and its slash. */
static const char *
next_name(const char *s)
{
	s += name_len(s);
	return *s == '/' ? s + 1 : s;
}

/* The whole of `path`, relative and not empty, against all segments. */
static bool
match_path(const struct pattern *p, const char *path)
{
	const struct segment *seg = segments_of(p);
	size_t count = p->segments.len / sizeof(*seg);
	size_t any = SIZE_MAX;    /* the segment behind the last `**` */
	const char *taken = NULL; /* the name that `**` leaves off at */
	size_t i = 0;

	while (*path != '\0' || i < count) {
		if (i < count && seg[i].kind == SEG_ANY) {
			/* At the end it means all that is inside: one or more. */
			if (i + 1 == count)
				return *path != '\0';
			any = ++i;
			taken = path;
			continue;
		}
		if (i < count && *path != '\0' &&
		    match_name(p, &seg[i], path, name_len(path))) {
			i++;
			path = next_name(path);
			continue;
		}
		if (any == SIZE_MAX || *taken == '\0')
			return false;
		taken = next_name(taken);
		path = taken;
		i = any;
	}
	return true;
}

static bool
matches(const struct pattern *p, const char *path, size_t source_len,
	const char *below, const char *name)
{
	if (!p->anchored)
		return match_name(p, segments_of(p), name, strlen(name));
	if (p->absolute || begins_with(p, path, source_len))
		return match_path(p, path + 1);
	return match_path(p, below);
}

bool
exclude_match(const struct exclude *x, const char *path, size_t source_len,
	      bool is_dir)
{
	const char *below = path + source_len;
	const char *name;
	size_t i;

	while (*below == '/')
		below++;
	if (*below == '\0')
		return false;
	name = strrchr(path, '/') + 1;
	for (i = x->count; i-- > 0;) {
		const struct pattern *p = &x->pattern[i];

		if (p->dir_only && !is_dir)
			continue;
		if (matches(p, path, source_len, below, name))
			return !p->negated;
	}
	return false;
}
