/*
 * One mutex keeps messages and the progress line from running into each
 * other.  The line is drawn from parts in order of importance; what does not
 * fit into the terminal's width is left out whole.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/cli/ui.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/path.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NS_PER_SEC    UINT64_C(1000000000)
#define REDRAW_NS     (NS_PER_SEC / 5)
#define ESTIMATE_NS   (2 * NS_PER_SEC) /* earlier guesses are worthless */
#define WIDTH_DEFAULT 80
#define MESSAGE_LEN   1200
#define LINE_MAX_LEN  256

static struct {
	struct ui_options options;
	int out_errno; /* first failure of standard output */
	pthread_mutex_t lock;
	/* Below: guarded by lock. */
	bool drawn;           /* a progress line stands on the screen */
	uint64_t start, last; /* 0: not yet */
	uint64_t last_bytes;
	double rate; /* bytes per second, smoothed */
} ui = { .lock = PTHREAD_MUTEX_INITIALIZER };

void
ui_init(const struct ui_options *opt)
{
	ui.options = *opt;
	if (opt->quiet || !isatty(STDERR_FILENO))
		ui.options.progress = false;
}

/* --- results -------------------------------------------------------------- */

static void
note_failure(void)
{
	if (ui.out_errno == 0)
		ui.out_errno = errno != 0 ? errno : EIO;
}

void
ui_printf(const char *fmt, ...)
{
	va_list ap;

	if (ui.out_errno != 0)
		return;
	va_start(ap, fmt);
	if (vprintf(fmt, ap) < 0)
		note_failure();
	va_end(ap);
}

void
ui_write(const void *p, size_t n)
{
	if (ui.out_errno == 0 && n > 0 && fwrite(p, 1, n, stdout) != n)
		note_failure();
}

void
ui_show(const void *name, size_t len)
{
	struct buf b = { 0 };

	path_show(&b, name, len);
	if (b.failed) {
		errno = ENOMEM;
		note_failure();
	}
	ui_write(b.data, b.len);
	buf_clear(&b);
}

bool
ui_writable(void)
{
	return ui.out_errno == 0;
}

int
ui_finish(struct err *e)
{
	/* A reader may hang up between our last flush and the close. */
	if (fflush(stdout) != 0 || ferror(stdout))
		note_failure();
	if (close(STDOUT_FILENO) < 0 && errno != EBADF)
		note_failure();
	if (ui.out_errno == 0)
		return 0;
	errno = ui.out_errno;
	return err_sys(e, "standard output");
}

/* --- messages ------------------------------------------------------------- */

/* Wipe the progress line; the lock is held. */
static void
clear_line(void)
{
	if (!ui.drawn)
		return;
	(void)fputs("\r\033[K", stderr);
	ui.drawn = false;
}

/*
 * Names are shown by whoever writes a sentence; what comes from other programs
 * and from words of the command line must not reach the terminal either: no
 * control byte does, nor one of the C1 ones in UTF-8.
 */
static void
disarm(char *text, size_t len)
{
	unsigned char *p = (unsigned char *)text;
	size_t i;

	for (i = 0; i < len; i++) {
		if (p[i] < ' ' || p[i] == 0x7f)
			p[i] = '?';
		else if (p[i] == 0xc2 && i + 1 < len && p[i + 1] < 0xa0)
			p[i] = p[i + 1] = '?';
	}
}

/* One write for a whole line, so that lines of processes stay whole. */
static void __attribute__((format(printf, 1, 0)))
say(const char *fmt, va_list ap)
{
	static const char prefix[] = "asof: ";
	char text[sizeof(prefix) + MESSAGE_LEN];
	size_t len = sizeof(prefix) - 1;
	int n;

	memcpy(text, prefix, len);
	n = vsnprintf(text + len, MESSAGE_LEN, fmt, ap);
	if (n > 0)
		len += n < MESSAGE_LEN ? (size_t)n : MESSAGE_LEN - 1;
	disarm(text, len);
	text[len++] = '\n';
	pthread_mutex_lock(&ui.lock);
	clear_line();
	(void)fwrite(text, 1, len, stderr);
	(void)fflush(stderr);
	pthread_mutex_unlock(&ui.lock);
}

void
ui_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

void
ui_note(const char *fmt, ...)
{
	va_list ap;

	if (ui.options.quiet)
		return;
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

void
ui_detail(const char *fmt, ...)
{
	va_list ap;

	if (!ui.options.verbose)
		return;
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

bool
ui_is_verbose(void)
{
	return ui.options.verbose;
}

void
ui_error_path(const char *path, const char *sentence)
{
	char shown[PATH_SHOW_LEN];

	ui_error("%s: %s", path_show_in(shown, path, strlen(path)), sentence);
}

/* --- progress ------------------------------------------------------------- */

struct line {
	char text[LINE_MAX_LEN];
	size_t len, width;
};

/* Put a part at the end, if it fits. */
static void __attribute__((format(printf, 2, 3)))
add_part(struct line *l, const char *fmt, ...)
{
	char part[LINE_MAX_LEN];
	va_list ap;
	size_t gap = l->len > 0 ? 2 : 0;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(part, sizeof(part), fmt, ap);
	va_end(ap);
	if (n < 0 || l->len + gap + (size_t)n >= l->width)
		return;
	memset(l->text + l->len, ' ', gap);
	memcpy(l->text + l->len + gap, part, (size_t)n);
	l->len += gap + (size_t)n;
}

static size_t
terminal_width(void)
{
	struct winsize ws;
	size_t width = WIDTH_DEFAULT;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
		width = ws.ws_col;
	return width < LINE_MAX_LEN ? width : LINE_MAX_LEN - 1;
}

/* Bring the rate up to date; half of it is news. */
static void
update_rate(uint64_t now, uint64_t bytes)
{
	double seconds = (double)(now - ui.last) / (double)NS_PER_SEC;
	double fresh;

	if (bytes < ui.last_bytes)
		ui.last_bytes = 0;
	fresh = (double)(bytes - ui.last_bytes) / seconds;
	ui.rate = ui.rate > 0 ? (ui.rate + fresh) / 2 : fresh;
	ui.last_bytes = bytes;
}

static void
compose(struct line *l, const struct ui_progress *p, uint64_t now)
{
	char count[UI_TEXT_LEN];
	char size[UI_TEXT_LEN];
	uint64_t done = p->done < p->total ? p->done : p->total;
	uint64_t gone = now - ui.start;
	double left;

	if (p->what != NULL)
		add_part(l, "%s %s", ui_count(count, p->count), p->what);
	if (p->total > 0)
		add_part(l, "%3.0f%%", 100.0 * (double)done / (double)p->total);
	add_part(l, "%s", ui_size(size, p->bytes));
	if (ui.rate >= 1)
		add_part(l, "%s/s", ui_size(size, (uint64_t)ui.rate));
	if (done > 0 && gone > ESTIMATE_NS) {
		left = (double)gone * (double)(p->total - done) / (double)done;
		add_part(l, "%s left", ui_duration(size, (int64_t)left));
	}
	if (p->errors > 0)
		add_part(l, "%s error%s", ui_count(count, p->errors),
			 ui_s(p->errors));
}

/* The lock is held. */
static void
draw(const struct ui_progress *p)
{
	struct line l = { .width = terminal_width() };
	uint64_t now = time_monotonic_ns();

	if (ui.start == 0) {
		ui.start = ui.last = now;
		return;
	}
	if (now - ui.last < REDRAW_NS)
		return;
	update_rate(now, p->bytes);
	ui.last = now;
	compose(&l, p, now);
	(void)fprintf(stderr, "\r%.*s\033[K", (int)l.len, l.text);
	(void)fflush(stderr);
	ui.drawn = true;
}

void
ui_progress(const struct ui_progress *p)
{
	if (!ui.options.progress)
		return;
	pthread_mutex_lock(&ui.lock);
	draw(p);
	pthread_mutex_unlock(&ui.lock);
}

void
ui_progress_end(void)
{
	pthread_mutex_lock(&ui.lock);
	clear_line();
	(void)fflush(stderr);
	ui.start = 0;
	ui.last_bytes = 0;
	ui.rate = 0;
	pthread_mutex_unlock(&ui.lock);
}

/* --- words for numbers ---------------------------------------------------- */

const char *
ui_count(char out[UI_TEXT_LEN], uint64_t n)
{
	char digits[24];
	int len =
		snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	int i;
	size_t at = 0;

	for (i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = '\0';
	return out;
}

const char *
ui_size(char out[UI_TEXT_LEN], uint64_t bytes)
{
	static const char *const unit[] = {
		"kB", "MB", "GB", "TB", "PB", "EB"
	};
	double v = (double)bytes / 1000;
	size_t i = 0;

	if (bytes < 1000) {
		(void)snprintf(out, UI_TEXT_LEN, "%u B", (unsigned)bytes);
		return out;
	}
	/* 999.95 would be rounded to 1000.0. */
	while (v >= 999.5 && i + 1 < sizeof(unit) / sizeof(unit[0])) {
		v /= 1000;
		i++;
	}
	(void)snprintf(out, UI_TEXT_LEN, "%.*f %s", v < 9.95 ? 1 : 0, v,
		       unit[i]);
	return out;
}

const char *
ui_duration(char out[UI_TEXT_LEN], int64_t ns)
{
	uint64_t n = ns > 0 ? (uint64_t)ns : 0;
	uint64_t s = n / NS_PER_SEC;

	if (s < 60)
		(void)snprintf(out, UI_TEXT_LEN, "%.1f s",
			       (double)n / (double)NS_PER_SEC);
	else if (s < 3600)
		(void)snprintf(out, UI_TEXT_LEN, "%u:%02u min",
			       (unsigned)(s / 60), (unsigned)(s % 60));
	else
		(void)snprintf(out, UI_TEXT_LEN, "%llu:%02u:%02u h",
			       (unsigned long long)(s / 3600),
			       (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	return out;
}

const char *
ui_time(char out[TIME_TEXT_LEN], struct ts t)
{
	char *between;

	(void)time_text(out, t, true);
	between = strchr(out, 'T');
	if (between != NULL)
		*between = ' ';
	return out;
}

const char *
ui_s(uint64_t n)
{
	return n == 1 ? "" : "s";
}
