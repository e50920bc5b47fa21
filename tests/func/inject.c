/*
 * inject PID CALL [ARGUMENT ...] - let another process make a system call.
 *
 * That is what an intruder would have: the process as it is, with all that was
 * taken from it.  PID is stopped with ptrace(2), its registers are set, one
 * instruction is run, and all is as before.  CALL is a number; an argument is
 * a number, or a path, which begins with a slash.  Prints what the call returned
 * (a failure is -errno), or "killed N" when signal N ended the process.
 *
 * Exit code 77 where the machine's registers are not known here.
 */
#define _GNU_SOURCE 1

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __x86_64__

#define SYSCALL_BYTES 0x050f
#define RED_ZONE      512
#define STRINGS_LEN   4096

static pid_t pid;

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

/* Ends all when it was killed. */
static void
wait_for_stop(void)
{
	int status;

	if (waitpid(pid, &status, __WALL) < 0)
		die("waitpid");
	if (WIFSTOPPED(status))
		return;
	if (WIFSIGNALED(status))
		printf("killed %d\n", WTERMSIG(status));
	exit(0);
}

static void
put_bytes(unsigned long at, const char *p, size_t len)
{
	unsigned long word;
	size_t n;

	for (; len > 0; len -= n, p += n, at += n) {
		n = len < sizeof(word) ? len : sizeof(word);
		word = 0;
		memcpy(&word, p, n);
		if (ptrace(PTRACE_POKEDATA, pid, at, word) < 0)
			die("write to its memory");
	}
}

static void
set_arguments(struct user_regs_struct *r, int argc, char **argv)
{
	unsigned long long *const place[] = { &r->rdi, &r->rsi, &r->rdx,
					      &r->r10, &r->r8,  &r->r9 };
	unsigned long at = (r->rsp - RED_ZONE - STRINGS_LEN) & ~15UL;
	int i;

	for (i = 0; i < 6; i++) {
		*place[i] = 0;
		if (i >= argc)
			continue;
		if (argv[i][0] != '/') {
			*place[i] =
				(unsigned long long)strtoll(argv[i], NULL, 0);
			continue;
		}
		*place[i] = at;
		put_bytes(at, argv[i], strlen(argv[i]) + 1);
		at += (strlen(argv[i]) + 16) & ~15UL;
	}
}

int
main(int argc, char **argv)
{
	struct user_regs_struct before;
	struct user_regs_struct r;
	long word;

	if (argc < 3)
		return 2;
	pid = (pid_t)strtol(argv[1], NULL, 10);
	if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0)
		die("stop it");
	wait_for_stop();
	if (ptrace(PTRACE_GETREGS, pid, 0, &before) < 0)
		die("its registers");
	word = ptrace(PTRACE_PEEKTEXT, pid, before.rip - 2, 0);
	if ((word & 0xffff) != SYSCALL_BYTES) {
		fprintf(stderr, "it was not waiting in a system call\n");
		return 1;
	}
	r = before;
	r.rip = before.rip - 2;
	r.rax = (unsigned long long)strtoll(argv[2], NULL, 0);
	r.orig_rax = (unsigned long long)-1;
	set_arguments(&r, argc - 3, argv + 3);
	if (ptrace(PTRACE_SETREGS, pid, 0, &r) < 0 ||
	    ptrace(PTRACE_SINGLESTEP, pid, 0, 0) < 0)
		die("make the call");
	wait_for_stop();
	if (ptrace(PTRACE_GETREGS, pid, 0, &r) < 0)
		die("the result");
	printf("%lld\n", (long long)r.rax);
	if (ptrace(PTRACE_SETREGS, pid, 0, &before) < 0 ||
	    ptrace(PTRACE_DETACH, pid, 0, 0) < 0)
		die("let it go");
	return 0;
}

#else

int
main(void)
{
	fprintf(stderr, "not for this machine\n");
	return 77;
}

#endif
