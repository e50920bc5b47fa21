/*
 * The file, as far as LMDB 0.9 reads it without looking (native integers):
 *
 *	page 0, 1  meta; the transaction's number says which of them counts
 *	page       number u64, pad u16, flags u16, lower u16, upper u16,
 *	           offsets of its nodes u16 each up to `lower`; nodes from
 *	           `upper` on.  Overflow pages have a count u32 instead of
 *	           lower and upper.
 *	node       32 bits, flags u16, key length u16, key, data.  In a leaf
 *	           the 32 bits are the data's length; in a branch they and the
 *	           flags are the number of the child.
 *	meta       magic u32, version u32, address u64, map size u64, two
 *	           databases (the free pages, the data), last page u64,
 *	           transaction u64
 *	database   page size u32, flags u16, depth u16, four counts u64,
 *	           root u64
 *
 * The free database's values are lists of page numbers: count u64, numbers
 * u64 in falling order.  They decide which pages are written over, so no page
 * may be both free and in use, or anything twice.
 */
#include "store/catcheck.h"

#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define META_MAGIC   UINT32_C(0xbeefc0de)
#define META_VERSION 1
#define NO_PAGE      UINT64_MAX
#define PAGE_HEADER  16
#define NODE_HEADER  8
#define META_LEN     136 /* of the meta itself, behind the page header */
#define PAGE_LEN_MAX 65536
#define DEPTH_MAX    32  /* as many levels as LMDB's cursors have */
#define KEY_MAX      511 /* LMDB's own limit */

enum {
	PAGE_BRANCH = 1,
	PAGE_LEAF = 2,
	PAGE_OVERFLOW = 4,
	PAGE_META = 8
};
#define PAGE_KINDS (PAGE_BRANCH | PAGE_LEAF | PAGE_OVERFLOW | PAGE_META)
#define NODE_BIG   1 /* the data lie in overflow pages */
#define DB_INTKEY  8 /* the free database's flag */

struct db {
	uint64_t root, entries;
	uint32_t page_len;
	unsigned flags, depth;
};

struct meta {
	struct db free, data;
	uint64_t last_page, txn;
};

static uint16_t
get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t
get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t
get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static int
bad(struct err *e, const char *what, uint64_t page)
{
	return err_set(e, ERR_CORRUPT, "catalogue: page %llu: %s",
		       (unsigned long long)page, what);
}

static void
get_db(const uint8_t *p, struct db *out)
{
	out->page_len = get32(p);
	out->flags = get16(p + 4);
	out->depth = get16(p + 6);
	out->entries = get64(p + 32);
	out->root = get64(p + 40);
}

/* Read meta page `i` of a file with this page length. */
static int
read_meta(int fd, unsigned i, uint32_t page_len, struct meta *out,
	  struct err *e)
{
	uint8_t p[PAGE_HEADER + META_LEN];

	if (io_read_at(fd, p, sizeof(p), (uint64_t)i * page_len, "catalogue",
		       e) < 0)
		return -1;
	if ((get16(p + 10) & PAGE_KINDS) != PAGE_META ||
	    get32(p + 16) != META_MAGIC || get32(p + 20) != META_VERSION)
		return bad(e, "not a meta page", i);
	get_db(p + 40, &out->free);
	get_db(p + 88, &out->data);
	out->last_page = get64(p + 136);
	out->txn = get64(p + 144);
	return 0;
}

static bool
page_len_ok(uint32_t n)
{
	return n >= 512 && n <= PAGE_LEN_MAX && (n & (n - 1)) == 0;
}

int
catcheck_metas(int fd, uint64_t len_max, struct err *e)
{
	uint32_t page_len = 0;
	struct meta m;
	unsigned i;
	uint64_t len;

	if (sizeof(size_t) != sizeof(uint64_t))
		return 0;
	if (io_size(fd, &len, "catalogue", e) < 0)
		return -1;
	for (i = 0; i < 2; i++) {
		if (read_meta(fd, i, page_len, &m, e) < 0)
			return -1;
		if (i == 0)
			page_len = m.free.page_len;
		if (!page_len_ok(m.free.page_len) ||
		    m.free.page_len != page_len || len < 2 * page_len ||
		    m.last_page >= len_max / page_len)
			return bad(e, "malformed meta page", i);
		if (m.data.flags != 0 || (m.free.flags & 0xff) != DB_INTKEY)
			return bad(e, "not a catalogue's database", i);
	}
	return 0;
}

struct walk {
	int fd;
	uint32_t page_len;
	uint64_t last_page;
	uint8_t *met;     /* a bit for each page that was */
	unsigned depth;   /* of the tree being walked */
	bool free_list;   /* it is the free database */
	uint64_t entries; /* met in it */
	/* The key that the next one has to follow, or may equal. */
	uint8_t last[KEY_MAX];
	size_t last_len;
	bool have_last, may_equal;
	uint8_t *pages; /* one per level */
};

/* Note that `n` pages from this one on are free or in use. */
static int
meet(struct walk *w, uint64_t number, uint64_t n, struct err *e)
{
	if (number < 2 || number > w->last_page ||
	    n > w->last_page - number + 1)
		return bad(e, "named, but outside the file", number);
	for (; n > 0; n--, number++) {
		if ((w->met[number / 8] & 1 << number % 8) != 0)
			return bad(e, "named twice", number);
		w->met[number / 8] |= (uint8_t)(1 << number % 8);
	}
	return 0;
}

static int
read_page(struct walk *w, uint64_t number, uint8_t *page, size_t n,
	  struct err *e)
{
	if (number < 2 || number > w->last_page)
		return bad(e, "named, but outside the file", number);
	if (io_read_at(w->fd, page, n, number * w->page_len, "catalogue", e) <
	    0)
		return -1;
	if (get64(page) != number)
		return bad(e, "has another page's number", number);
	return 0;
}

static int
check_overflow(struct walk *w, uint64_t number, uint64_t data_len,
	       struct err *e)
{
	uint8_t head[PAGE_HEADER], last;
	uint64_t pages, end;

	if (read_page(w, number, head, sizeof(head), e) < 0)
		return -1;
	pages = get32(head + 12);
	if ((get16(head + 10) & PAGE_KINDS) != PAGE_OVERFLOW || pages == 0 ||
	    data_len + PAGE_HEADER > pages * w->page_len)
		return bad(e, "malformed overflow page", number);
	if (meet(w, number, pages, e) < 0)
		return -1;
	/* A file that ends before kills who reads the map. */
	end = (number + pages) * w->page_len;
	return io_read_at(w->fd, &last, 1, end - 1, "catalogue", e);
}

/*
 * A list of free pages: falling, so that none is there twice.  LMDB may leave
 * room behind it.
 */
static int
check_free_list(struct walk *w, const uint8_t *p, uint64_t len, uint64_t page,
		struct err *e)
{
	uint64_t i, n, above = UINT64_MAX;

	if (len < 8 || len % 8 != 0 || get64(p) > len / 8 - 1)
		return bad(e, "malformed list of free pages", page);
	n = get64(p);
	for (i = 1; i <= n; i++) {
		uint64_t v = get64(p + i * 8);

		if (v >= above)
			return bad(e, "malformed list of free pages", page);
		if (meet(w, v, 1, e) < 0)
			return -1;
		above = v;
	}
	return 0;
}

static int
check_big(struct walk *w, uint64_t number, uint64_t len, struct err *e)
{
	uint8_t *list;
	int rc;

	if (check_overflow(w, number, len, e) < 0)
		return -1;
	if (!w->free_list)
		return 0;
	list = mem_alloc((size_t)len);
	if (list == NULL)
		return err_nomem(e);
	rc = io_read_at(w->fd, list, (size_t)len,
			number * w->page_len + PAGE_HEADER, "catalogue", e);
	if (rc == 0)
		rc = check_free_list(w, list, len, number, e);
	mem_free(list);
	return rc;
}

/*
 * Keys rise over the whole tree.  Those of a branch lie between what is to
 * the left of them and what is below them, or look-ups would go astray.
 */
static int
check_key(struct walk *w, const uint8_t *key, size_t len, bool branch,
	  uint64_t page, struct err *e)
{
	size_t both = len < w->last_len ? len : w->last_len;
	int c;

	if (len > KEY_MAX || (w->free_list && len != 8))
		return bad(e, "malformed key", page);
	if (w->free_list && w->have_last)
		c = get64(key) < get64(w->last) ? -1
						: get64(key) > get64(w->last);
	else
		c = memcmp(key, w->last, both);
	if (c == 0 && len != w->last_len)
		c = len < w->last_len ? -1 : 1;
	if (w->have_last && (c < 0 || (c == 0 && !w->may_equal)))
		return bad(e, "keys out of order", page);
	memcpy(w->last, key, len);
	w->last_len = len;
	w->have_last = true;
	w->may_equal = branch;
	return 0;
}

static int
check_leaf_node(struct walk *w, const uint8_t *node, size_t room, uint64_t page,
		struct err *e)
{
	uint64_t data_len = get32(node);
	unsigned flags = get16(node + 4);
	size_t key_len = get16(node + 6);
	size_t here = flags == NODE_BIG ? 8 : (size_t)data_len;
	const uint8_t *data = node + NODE_HEADER + key_len;

	w->entries++;
	if ((flags & ~(unsigned)NODE_BIG) != 0 || data_len > INT32_MAX ||
	    key_len > room - NODE_HEADER || here > room - NODE_HEADER - key_len)
		return bad(e, "malformed node", page);
	if (check_key(w, node + NODE_HEADER, key_len, false, page, e) < 0)
		return -1;
	if (flags == NODE_BIG)
		return check_big(w, get64(data), data_len, e);
	return w->free_list ? check_free_list(w, data, data_len, page, e) : 0;
}

static int check_page(struct walk *w, uint64_t number, unsigned level,
		      struct err *e);

/* The key of a branch's first node is not looked at by anybody. */
static int
check_branch_node(struct walk *w, const uint8_t *node, size_t room, bool first,
		  unsigned level, uint64_t page, struct err *e)
{
	uint64_t child = get32(node) | (uint64_t)get16(node + 4) << 32;
	size_t key_len = get16(node + 6);

	if (key_len > room - NODE_HEADER)
		return bad(e, "malformed node", page);
	if (!first &&
	    check_key(w, node + NODE_HEADER, key_len, true, page, e) < 0)
		return -1;
	return check_page(w, child, level + 1, e);
}

static int
check_nodes(struct walk *w, const uint8_t *page, uint64_t number,
	    unsigned level, struct err *e)
{
	bool leaf = level + 1 == w->depth;
	unsigned lower = get16(page + 12), upper = get16(page + 14);
	unsigned n = (lower - PAGE_HEADER) / 2, i;
	int rc = 0;

	for (i = 0; rc == 0 && i < n; i++) {
		unsigned at = get16(page + PAGE_HEADER + 2 * i);
		const uint8_t *node = page + at;

		if (at < upper || at % 2 != 0 || at > w->page_len - NODE_HEADER)
			return bad(e, "node outside its page", number);
		if (leaf)
			rc = check_leaf_node(w, node, w->page_len - at, number,
					     e);
		else
			rc = check_branch_node(w, node, w->page_len - at,
					       i == 0, level, number, e);
	}
	return rc;
}

/* A page of the tree and everything below it; `level` is 0 for the root. */
static int
check_page(struct walk *w, uint64_t number, unsigned level, struct err *e)
{
	uint8_t *page = w->pages + (size_t)level * w->page_len;
	unsigned kind = level + 1 == w->depth ? PAGE_LEAF : PAGE_BRANCH;
	unsigned lower, upper;

	if (level >= w->depth)
		return bad(e, "the tree is deeper than it says", number);
	if (meet(w, number, 1, e) < 0 ||
	    read_page(w, number, page, w->page_len, e) < 0)
		return -1;
	lower = get16(page + 12);
	upper = get16(page + 14);
	/* 0x20 and 0x40 mark forms that a plain database never has. */
	if ((get16(page + 10) & (PAGE_KINDS | 0x60)) != kind ||
	    lower < PAGE_HEADER || lower % 2 != 0 || lower > upper ||
	    upper > w->page_len ||
	    lower < PAGE_HEADER + (kind == PAGE_BRANCH ? 4u : 2u))
		return bad(e, "malformed page", number);
	return check_nodes(w, page, number, level, e);
}

static int
check_db(struct walk *w, const struct db *db, bool free_list, struct err *e)
{
	int rc;

	if (db->root == NO_PAGE)
		return db->entries == 0 ? 0 : bad(e, "has lost its tree", 0);
	if (db->depth == 0 || db->depth > DEPTH_MAX)
		return bad(e, "impossible depth", db->root);
	w->depth = db->depth;
	w->free_list = free_list;
	w->entries = 0;
	w->have_last = false;
	w->last_len = 0;
	w->pages = mem_array(db->depth, w->page_len);
	if (w->pages == NULL)
		return err_nomem(e);
	rc = check_page(w, db->root, 0, e);
	mem_free(w->pages);
	if (rc == 0 && w->entries != db->entries)
		return bad(e, "a tree with another number of entries",
			   db->root);
	return rc;
}

int
catcheck_tree(int fd, uint64_t len_max, uint64_t txn, struct err *e)
{
	struct walk w = { .fd = fd };
	struct meta m;
	int rc;

	if (sizeof(size_t) != sizeof(uint64_t))
		return 0;
	if (read_meta(fd, 0, 0, &m, e) < 0)
		return -1;
	w.page_len = m.free.page_len;
	if (!page_len_ok(w.page_len))
		return bad(e, "malformed meta page", 0);
	if (read_meta(fd, txn & 1, w.page_len, &m, e) < 0)
		return -1;
	if (m.txn != txn)
		return 1;
	if (m.last_page >= len_max / w.page_len)
		return bad(e, "promises too much", txn & 1);
	w.last_page = m.last_page;
	w.met = mem_zalloc((size_t)(m.last_page / 8) + 1);
	if (w.met == NULL)
		return err_nomem(e);
	rc = check_db(&w, &m.data, false, e);
	if (rc == 0)
		rc = check_db(&w, &m.free, true, e);
	mem_free(w.met);
	return rc;
}
