/*
 * replay - gives a fuzz target the files named, and all files of the
 * directories named, one by one.  Says how many there were; none is a
 * failure, so that a corpus that is not there cannot pass.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX ((size_t)1 << 20)

static unsigned long inputs;

static _Noreturn void
die(const char *path, const char *what)
{
	(void)fflush(stdout);
	(void)fprintf(stderr, "replay: %s: %s\n", path, what);
	exit(1);
}

static void
replay_file(const char *path)
{
	FILE *f = fopen(path, "rbe");
	uint8_t *data = malloc(INPUT_MAX);
	uint8_t *exact;
	size_t n;

	if (f == NULL || data == NULL)
		die(path, "cannot be opened");
	n = fread(data, 1, INPUT_MAX, f);
	if (ferror(f) || fclose(f) != 0)
		die(path, "cannot be read");
	/* A copy of this length, so that a read beyond it is seen. */
	exact = malloc(n > 0 ? n : 1);
	if (exact == NULL)
		die(path, "out of memory");
	memcpy(exact, data, n);
	free(data);
	(void)LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	inputs++;
}

static void replay(const char *path);

static void
replay_dir(const char *path)
{
	struct dirent **names;
	char full[4096];
	int n = scandir(path, &names, NULL, alphasort);

	if (n < 0)
		die(path, "cannot be listed");
	for (int i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.') {
			if (snprintf(full, sizeof(full), "%s/%s", path,
				     names[i]->d_name) >= (int)sizeof(full))
				die(path, "has a name that is too long");
			replay(full);
		}
		free(names[i]);
	}
	free(names);
}

static void
replay(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		die(path, "is not there");
	if (S_ISDIR(st.st_mode))
		replay_dir(path);
	else
		replay_file(path);
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	(void)printf("%lu inputs\n", inputs);
	return inputs > 0 ? 0 : 1;
}
