/*
 * Layout, all integers big-endian so that entries sort as bytes:
 *
 *	header   48: magic 8, version u32, zero u32, filter blocks u64,
 *	             salt u64, zeros 16
 *	filter   filter blocks * 64, then zeros up to a page border
 *	pages    pages * 4096: 255 entries, 16 bytes of hash
 *	fences   pages * 8: the first key of each page
 *	footer   80: magic 8, entries u64, pages u64, filter blocks u64,
 *	             hash16 of the filter's hashes, hash16 of the fences,
 *	             hash16 of the header, these 64 bytes and the file's name
 *
 * The hash of a page covers its entries, its number and the run's salt, so
 * that a page in another's place, or one left over from another file, does
 * not match.  The filter is hashed in pieces of 64 KiB, and their hashes
 * once more: a writer never holds more than a piece of it.
 *
 * The filter is a blocked Bloom filter: one cache line a key, chosen by the
 * key's upper bits, seven bits in it.  As the lines are in the order of the
 * keys, the writer finishes one after the other.  Keys are cut from keyed
 * hashes; a multiplication is mixing enough.
 *
 * A look-up guesses the page from the key (interpolation), so it touches a
 * few fences and, nearly always, one page.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "store/run.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/sys.h"
#include "store/id.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define PAGE_LEN     4096
#define PAGE_ENTRIES 255
#define ENTRY_LEN    16
#define ENTRIES_LEN  (PAGE_ENTRIES * ENTRY_LEN)
#define HASH_LEN     16
#define HEADER_LEN   48
#define FOOTER_LEN   80
#define FENCE_LEN    8
#define VERSION      1

#define FILTER_LINE       64
#define FILTER_LINE_BITS  512
#define FILTER_ENTRY_BITS 10
#define FILTER_PROBES     7
#define FILTER_PIECE      65536

/* 2 TiB.  So lines and pages have numbers of 32 bits, as the guesses need. */
#define ENTRIES_MAX (UINT64_C(1) << 37)

/* Pages are written this many bytes at a time. */
#define OUT_LEN (64 * PAGE_LEN)

#define NAME_MAX_LEN 64

static const char header_magic[8] = { 'a', 's', 'o', 'f', 'r', 'u', 'n', 'h' };
static const char footer_magic[8] = { 'a', 's', 'o', 'f', 'r', 'u', 'n', 'f' };

/* --- forms ------------------------------------------------------------------ */

static void
put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static void
put_u64(uint8_t *p, uint64_t v)
{
	put_u32(p, (uint32_t)(v >> 32));
	put_u32(p + 4, (uint32_t)v);
}

static uint32_t
get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | p[3];
}

static uint64_t
get_u64(const uint8_t *p)
{
	return (uint64_t)get_u32(p) << 32 | get_u32(p + 4);
}

static void
put_entry(uint8_t *p, const struct run_entry *en)
{
	put_u64(p, en->key);
	put_u32(p + 8, en->pack);
	put_u32(p + 12, en->slot);
}

static struct run_entry
get_entry(const uint8_t *page, unsigned i)
{
	const uint8_t *p = page + (size_t)i * ENTRY_LEN;

	return (struct run_entry){ get_u64(p), get_u32(p + 8),
				   get_u32(p + 12) };
}

static int
entry_cmp(const struct run_entry *a, const struct run_entry *b)
{
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->pack != b->pack)
		return a->pack < b->pack ? -1 : 1;
	if (a->slot != b->slot)
		return a->slot < b->slot ? -1 : 1;
	return 0;
}

/* The hash of a page; uses the place where the page keeps it. */
static void
hash_page(uint8_t page[PAGE_LEN], uint64_t number, uint64_t salt,
	  uint8_t out[HASH_LEN])
{
	put_u64(page + ENTRIES_LEN, number);
	put_u64(page + ENTRIES_LEN + 8, salt);
	hash_plain(page, PAGE_LEN, out, HASH_LEN);
}

/* The hash that holds header, footer and name together. */
static int
hash_ends(const uint8_t header[HEADER_LEN], const uint8_t footer[FOOTER_LEN],
	  const char *name, uint8_t out[HASH_LEN], struct err *e)
{
	uint8_t all[HEADER_LEN + FOOTER_LEN - HASH_LEN + NAME_MAX_LEN];
	size_t len = strlen(name);
	uint8_t *p = all;

	if (len > NAME_MAX_LEN)
		return err_set(e, ERR_USAGE, "index run %s: name too long",
			       name);
	memcpy(p, header, HEADER_LEN);
	p += HEADER_LEN;
	memcpy(p, footer, FOOTER_LEN - HASH_LEN);
	p += FOOTER_LEN - HASH_LEN;
	memcpy(p, name, len);
	p += len;
	hash_plain(all, (size_t)(p - all), out, HASH_LEN);
	return 0;
}

static uint64_t
pages_for(uint64_t entries)
{
	return (entries + PAGE_ENTRIES - 1) / PAGE_ENTRIES;
}

static uint64_t
pages_offset(uint64_t filter_lines)
{
	uint64_t end = HEADER_LEN + filter_lines * FILTER_LINE;

	return (end + PAGE_LEN - 1) / PAGE_LEN * PAGE_LEN;
}

/* --- filter ----------------------------------------------------------------- */

static uint64_t
filter_lines_for(uint64_t entries)
{
	return entries * FILTER_ENTRY_BITS / FILTER_LINE_BITS + 1;
}

/* Rises with the key. */
static uint64_t
filter_line(uint64_t lines, uint64_t key)
{
	return (key >> 32) * lines >> 32;
}

/* Nine bits a probe, 63 in all, of the key multiplied by 2^64 / phi. */
static void
filter_set(uint8_t *line, uint64_t key)
{
	uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15) >> 1;
	int i;

	for (i = 0; i < FILTER_PROBES; i++, h >>= 9)
		line[(h & 511) / 8] |= (uint8_t)(1 << (h & 7));
}

static bool
filter_test(const uint8_t *line, uint64_t key)
{
	uint64_t h = key * UINT64_C(0x9e3779b97f4a7c15) >> 1;
	int i;

	for (i = 0; i < FILTER_PROBES; i++, h >>= 9)
		if ((line[(h & 511) / 8] & 1 << (h & 7)) == 0)
			return false;
	return true;
}

/* --- writing ---------------------------------------------------------------- */

struct run_writer {
	int dirfd, fd;
	char name[NAME_MAX_LEN + 1];
	char tmp[NAME_MAX_LEN + 8];
	uint8_t header[HEADER_LEN];
	uint64_t salt;
	uint64_t entries, entries_max;
	struct run_entry last;

	/* Pages: `out` holds whole pages and the one being filled. */
	uint8_t *out;
	size_t out_pages;      /* whole ones */
	unsigned page_entries; /* in the one being filled */
	uint64_t pages;        /* written or in `out`, whole */
	uint64_t at;           /* where `out` goes */
	struct buf fences;

	/* Filter: `piece` holds the lines from piece_line on. */
	uint8_t *piece;
	uint64_t piece_line, lines;
	struct buf piece_hashes;
};

static void
make_header(struct run_writer *w)
{
	memcpy(w->header, header_magic, sizeof(header_magic));
	put_u32(w->header + 8, VERSION);
	put_u64(w->header + 16, w->lines);
	put_u64(w->header + 24, w->salt);
}

int
run_writer_new(int dirfd, const char *name, uint64_t entries_max,
	       struct run_writer **out, struct err *e)
{
	struct run_writer *w;

	if (strlen(name) > NAME_MAX_LEN || entries_max > ENTRIES_MAX)
		return err_set(e, ERR_USAGE, "index run %s: beyond the limits",
			       name);
	w = mem_zalloc(sizeof(*w));
	if (w == NULL)
		return err_nomem(e);
	w->dirfd = dirfd;
	w->fd = -1;
	w->entries_max = entries_max;
	w->lines = filter_lines_for(entries_max);
	w->at = pages_offset(w->lines);
	(void)snprintf(w->name, sizeof(w->name), "%s", name);
	(void)snprintf(w->tmp, sizeof(w->tmp), ".tmp-%s", name);
	w->out = mem_zalloc(OUT_LEN);
	w->piece = mem_zalloc(FILTER_PIECE);
	if (w->out == NULL || w->piece == NULL) {
		(void)err_nomem(e);
		goto fail;
	}
	if (io_random(&w->salt, sizeof(w->salt), e) < 0)
		goto fail;
	make_header(w);
	w->fd = io_open(dirfd, w->tmp, O_RDWR | O_CREAT | O_EXCL, 0600, NULL,
			e);
	if (w->fd < 0 ||
	    io_write_at(w->fd, w->header, HEADER_LEN, 0, w->tmp, e) < 0)
		goto fail;
	*out = w;
	return 0;
fail:
	run_writer_free(w);
	return -1;
}

/* Write out the filter's lines in `piece` and go on to the next ones. */
static int
end_piece(struct run_writer *w, struct err *e)
{
	uint64_t left = (w->lines - w->piece_line) * FILTER_LINE;
	size_t n = left < FILTER_PIECE ? (size_t)left : FILTER_PIECE;
	uint8_t hash[HASH_LEN];

	hash_plain(w->piece, n, hash, sizeof(hash));
	buf_add(&w->piece_hashes, hash, sizeof(hash));
	if (io_write_at(w->fd, w->piece, n,
			HEADER_LEN + w->piece_line * FILTER_LINE, w->tmp,
			e) < 0)
		return -1;
	memset(w->piece, 0, FILTER_PIECE);
	w->piece_line += FILTER_PIECE / FILTER_LINE;
	return 0;
}

static int
add_to_filter(struct run_writer *w, uint64_t key, struct err *e)
{
	uint64_t line = filter_line(w->lines, key);

	while (line - w->piece_line >= FILTER_PIECE / FILTER_LINE)
		if (end_piece(w, e) < 0)
			return -1;
	filter_set(w->piece + (line - w->piece_line) * FILTER_LINE, key);
	return 0;
}

static int
write_pages(struct run_writer *w, struct err *e)
{
	size_t n = w->out_pages * PAGE_LEN;

	if (io_write_at(w->fd, w->out, n, w->at, w->tmp, e) < 0)
		return -1;
	w->at += n;
	w->out_pages = 0;
	return 0;
}

static int
end_page(struct run_writer *w, struct err *e)
{
	static const struct run_entry pad = { UINT64_MAX, UINT32_MAX,
					      UINT32_MAX };
	uint8_t *page = w->out + w->out_pages * PAGE_LEN;
	uint8_t hash[HASH_LEN];

	for (; w->page_entries < PAGE_ENTRIES; w->page_entries++)
		put_entry(page + w->page_entries * ENTRY_LEN, &pad);
	hash_page(page, w->pages, w->salt, hash);
	memcpy(page + ENTRIES_LEN, hash, HASH_LEN);
	buf_add(&w->fences, page, FENCE_LEN);
	w->page_entries = 0;
	w->pages++;
	w->out_pages++;
	return w->out_pages == OUT_LEN / PAGE_LEN ? write_pages(w, e) : 0;
}

int
run_writer_add(struct run_writer *w, const struct run_entry *en, struct err *e)
{
	int order = w->entries == 0 ? -1 : entry_cmp(&w->last, en);

	if (order == 0)
		return 0;
	if (order > 0 || w->entries == w->entries_max)
		return err_set(e, ERR_USAGE,
			       "index run %s: entries out of order or too many",
			       w->name);
	if (add_to_filter(w, en->key, e) < 0)
		return -1;
	put_entry(w->out + w->out_pages * PAGE_LEN +
			  w->page_entries * ENTRY_LEN,
		  en);
	w->last = *en;
	w->entries++;
	w->page_entries++;
	return w->page_entries == PAGE_ENTRIES ? end_page(w, e) : 0;
}

static int
write_footer(struct run_writer *w, struct err *e)
{
	uint8_t f[FOOTER_LEN];

	memcpy(f, footer_magic, sizeof(footer_magic));
	put_u64(f + 8, w->entries);
	put_u64(f + 16, w->pages);
	put_u64(f + 24, w->lines);
	hash_plain(w->piece_hashes.data, w->piece_hashes.len, f + 32, HASH_LEN);
	hash_plain(w->fences.data, w->fences.len, f + 48, HASH_LEN);
	if (hash_ends(w->header, f, w->name, f + 64, e) < 0)
		return -1;
	return io_write_at(w->fd, f, sizeof(f), w->at, w->tmp, e);
}

/* Everything that is still in memory goes to the file. */
static int
write_rest(struct run_writer *w, struct err *e)
{
	if (w->page_entries > 0 && end_page(w, e) < 0)
		return -1;
	if (write_pages(w, e) < 0)
		return -1;
	while (w->piece_line < w->lines)
		if (end_piece(w, e) < 0)
			return -1;
	if (buf_ok(&w->piece_hashes, e) < 0 || buf_ok(&w->fences, e) < 0)
		return -1;
	if (io_write_at(w->fd, w->fences.data, w->fences.len, w->at, w->tmp,
			e) < 0)
		return -1;
	w->at += w->fences.len;
	return write_footer(w, e);
}

int
run_writer_finish(struct run_writer *w, struct err *e)
{
	int fd = w->fd;
	int rc;

	if (write_rest(w, e) < 0 || io_sync(fd, w->tmp, e) < 0)
		return -1;
	w->fd = -1;
	if (io_close(fd, w->tmp, e) < 0)
		return -1;
	do
		rc = sys_repo->renameat2(w->dirfd, w->tmp, w->dirfd, w->name,
					 0);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return err_sys(e, "rename %s", w->tmp);
	w->tmp[0] = '\0';
	return io_sync_dir(w->dirfd, "the cache", e);
}

void
run_writer_free(struct run_writer *w)
{
	if (w == NULL)
		return;
	(void)io_close(w->fd, w->tmp, NULL);
	if (w->tmp[0] != '\0')
		(void)io_unlink(w->dirfd, w->tmp, NULL);
	mem_free(w->out);
	mem_free(w->piece);
	buf_clear(&w->fences);
	buf_clear(&w->piece_hashes);
	mem_free(w);
}

/* --- opening ---------------------------------------------------------------- */

struct run {
	int fd;
	char name[NAME_MAX_LEN + 1];
	uint64_t salt, entries, pages, lines;
	uint8_t filter_hash[HASH_LEN], fences_hash[HASH_LEN];
	uint8_t *filter;  /* lines * FILTER_LINE */
	uint64_t *fences; /* pages of them */
};

static int
bad_run(const struct run *r, struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, "index run %s: %s", r->name, what);
}

/*
 * Read bytes of the run.  That the cache's disk cannot give them is damage
 * like any other: the run is made again elsewhere.
 */
static int
read_bytes(const struct run *r, void *p, size_t n, uint64_t at, struct err *e)
{
	struct err why = { 0 };

	if (io_read_at(r->fd, p, n, at, r->name, &why) == 0)
		return 0;
	return err_set(e, ERR_CORRUPT, "index run: %s", why.text);
}

static int
parse_ends(struct run *r, const uint8_t *header, const uint8_t *footer,
	   uint64_t len, struct err *e)
{
	uint8_t hash[HASH_LEN];

	if (hash_ends(header, footer, r->name, hash, e) < 0)
		return -1;
	if (memcmp(hash, footer + FOOTER_LEN - HASH_LEN, HASH_LEN) != 0 ||
	    memcmp(header, header_magic, sizeof(header_magic)) != 0 ||
	    memcmp(footer, footer_magic, sizeof(footer_magic)) != 0 ||
	    get_u32(header + 8) != VERSION)
		return bad_run(r, e, "no valid header and footer");
	r->lines = get_u64(header + 16);
	r->salt = get_u64(header + 24);
	r->entries = get_u64(footer + 8);
	r->pages = get_u64(footer + 16);
	memcpy(r->filter_hash, footer + 32, HASH_LEN);
	memcpy(r->fences_hash, footer + 48, HASH_LEN);
	if (r->entries > ENTRIES_MAX || r->pages != pages_for(r->entries) ||
	    r->lines != get_u64(footer + 24) || r->lines == 0 ||
	    r->lines > filter_lines_for(ENTRIES_MAX) ||
	    pages_offset(r->lines) + r->pages * (PAGE_LEN + FENCE_LEN) +
			    FOOTER_LEN !=
		    len)
		return bad_run(r, e, "its counts do not fit");
	return 0;
}

static int
read_ends(struct run *r, struct err *e)
{
	uint8_t header[HEADER_LEN], footer[FOOTER_LEN];
	uint64_t len;

	if (io_size(r->fd, &len, r->name, e) < 0)
		return -1;
	if (len < HEADER_LEN + FOOTER_LEN)
		return bad_run(r, e, "too short");
	if (read_bytes(r, header, sizeof(header), 0, e) < 0 ||
	    read_bytes(r, footer, sizeof(footer), len - FOOTER_LEN, e) < 0)
		return -1;
	return parse_ends(r, header, footer, len, e);
}

static int
read_filter(struct run *r, struct err *e)
{
	size_t len = (size_t)r->lines * FILTER_LINE;
	struct buf hashes = { 0 };
	uint8_t hash[HASH_LEN];
	size_t at, n;
	int rc = -1;

	r->filter = mem_alloc(len);
	if (r->filter == NULL)
		return err_nomem(e);
	for (at = 0; at < len; at += n) {
		n = len - at < FILTER_PIECE ? len - at : FILTER_PIECE;
		if (read_bytes(r, r->filter + at, n, HEADER_LEN + at, e) < 0)
			goto out;
		hash_plain(r->filter + at, n, hash, sizeof(hash));
		buf_add(&hashes, hash, sizeof(hash));
	}
	if (buf_ok(&hashes, e) < 0)
		goto out;
	hash_plain(hashes.data, hashes.len, hash, sizeof(hash));
	if (memcmp(hash, r->filter_hash, HASH_LEN) != 0) {
		(void)bad_run(r, e, "its filter is damaged");
		goto out;
	}
	rc = 0;
out:
	buf_clear(&hashes);
	return rc;
}

static int
read_fences(struct run *r, struct err *e)
{
	uint64_t at = pages_offset(r->lines) + r->pages * PAGE_LEN;
	uint8_t hash[HASH_LEN];
	uint64_t i;

	r->fences = mem_array((size_t)r->pages + 1, sizeof(*r->fences));
	if (r->fences == NULL)
		return err_nomem(e);
	if (read_bytes(r, r->fences, (size_t)r->pages * FENCE_LEN, at, e) < 0)
		return -1;
	hash_plain(r->fences, (size_t)r->pages * FENCE_LEN, hash, sizeof(hash));
	if (memcmp(hash, r->fences_hash, HASH_LEN) != 0)
		return bad_run(r, e, "its fences are damaged");
	for (i = 0; i < r->pages; i++)
		r->fences[i] = get_u64((const uint8_t *)&r->fences[i]);
	return 0;
}

int
run_open(int dirfd, const char *name, struct run **out, struct err *e)
{
	struct run *r;
	bool missing = false;

	if (strlen(name) > NAME_MAX_LEN)
		return err_set(e, ERR_CORRUPT, "index run: name too long");
	r = mem_zalloc(sizeof(*r));
	if (r == NULL)
		return err_nomem(e);
	(void)snprintf(r->name, sizeof(r->name), "%s", name);
	r->fd = io_open(dirfd, name, O_RDONLY, 0, &missing, e);
	if (r->fd < 0 || read_ends(r, e) < 0 || read_filter(r, e) < 0 ||
	    read_fences(r, e) < 0) {
		run_close(r);
		return missing ? 1 : -1;
	}
	*out = r;
	return 0;
}

void
run_close(struct run *r)
{
	if (r == NULL)
		return;
	(void)io_close(r->fd, r->name, NULL);
	mem_free(r->filter);
	mem_free(r->fences);
	mem_free(r);
}

uint64_t
run_entries(const struct run *r)
{
	return r->entries;
}

size_t
run_memory(const struct run *r)
{
	return sizeof(*r) + (size_t)r->lines * FILTER_LINE +
	       (size_t)r->pages * sizeof(*r->fences);
}

/* --- looking up --------------------------------------------------------------- */

static int
read_page(const struct run *r, uint64_t number, uint8_t page[PAGE_LEN],
	  struct err *e)
{
	uint8_t stored[HASH_LEN], hash[HASH_LEN];

	if (read_bytes(r, page, PAGE_LEN,
		       pages_offset(r->lines) + number * PAGE_LEN, e) < 0)
		return -1;
	memcpy(stored, page + ENTRIES_LEN, HASH_LEN);
	hash_page(page, number, r->salt, hash);
	if (memcmp(stored, hash, HASH_LEN) != 0)
		return err_set(e, ERR_CORRUPT,
			       "index run %s: page %llu is damaged", r->name,
			       (unsigned long long)number);
	return 0;
}

static unsigned
entries_in(const struct run *r, uint64_t page)
{
	uint64_t left = r->entries - page * PAGE_ENTRIES;

	return left < PAGE_ENTRIES ? (unsigned)left : PAGE_ENTRIES;
}

/*
 * The last page whose fence is below the key, else 0: the first that can
 * hold it.  Invariant: fence[lo] < key or lo is 0; fence[hi] >= key or hi is
 * behind the last.  Gallops from the guess, then halves.
 */
static uint64_t
first_page(const struct run *r, uint64_t key)
{
	uint64_t guess = (key >> 32) * r->pages >> 32;
	uint64_t lo = 0, hi = r->pages, step, mid;

	if (guess == 0 || r->fences[guess] < key) {
		lo = guess;
		for (step = 4; lo + step < hi && r->fences[lo + step] < key;
		     step *= 2)
			lo += step;
		if (lo + step < hi)
			hi = lo + step;
	} else {
		hi = guess;
		for (step = 4; hi > step && r->fences[hi - step] >= key;
		     step *= 2)
			hi -= step;
		if (hi > step)
			lo = hi - step;
	}
	while (hi - lo > 1) {
		mid = lo + (hi - lo) / 2;
		if (r->fences[mid] < key)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* Position of the first entry of the page with this key or a greater one. */
static unsigned
lower_bound(const uint8_t *page, unsigned n, uint64_t key)
{
	unsigned lo = 0, hi = n;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (get_u64(page + (size_t)mid * ENTRY_LEN) < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int
run_find(const struct run *r, uint64_t key, struct run_entry *out, int max,
	 struct err *e)
{
	uint8_t page[PAGE_LEN];
	uint64_t number;
	int count = 0;

	if (r->pages == 0 ||
	    !filter_test(r->filter + filter_line(r->lines, key) * FILTER_LINE,
			 key))
		return 0;
	number = first_page(r, key);
	do {
		unsigned n = entries_in(r, number), i;

		if (read_page(r, number, page, e) < 0)
			return -1;
		for (i = lower_bound(page, n, key); i < n && count < max; i++) {
			out[count] = get_entry(page, i);
			if (out[count].key != key)
				return count;
			count++;
		}
		number++;
	} while (count < max && number < r->pages && r->fences[number] == key);
	return count;
}

/* --- reading through ------------------------------------------------------------ */

int
run_cursor_init(struct run_cursor *c, const struct run *r, struct err *e)
{
	uint8_t *page = mem_alloc(PAGE_LEN);

	if (page == NULL)
		return err_nomem(e);
	*c = (struct run_cursor){ .run = r, .page = page };
	return 0;
}

int
run_cursor_next(struct run_cursor *c, struct run_entry *out, struct err *e)
{
	unsigned i = (unsigned)(c->next % PAGE_ENTRIES);

	if (c->next == c->run->entries)
		return 0;
	if (i == 0) {
		c->page_no = c->next / PAGE_ENTRIES;
		if (read_page(c->run, c->page_no, c->page, e) < 0)
			return -1;
	}
	*out = get_entry(c->page, i);
	c->next++;
	return 1;
}

void
run_cursor_clear(struct run_cursor *c)
{
	mem_free(c->page);
	c->page = NULL;
}
