/*
 * sandbox.c
 *
 * Rights.  no_new_privs, and no capability; but one that reads everything, if
 * the repository belongs to somebody else and cannot be read without: that is
 * tried, not guessed.
 *
 * Landlock.  Reading below the directory that holds the repository, not below
 * the repository: a rule holds on to an inode, and when a disk was unmounted
 * and is back the directories on it are new ones.  For the same reason also
 * below the directory where the file system of the repository is mounted.  Where
 * either is the root there would be no rule left: then the repository itself
 * has to do.  Writing in the cache, and in sessions/, where the mark of this
 * process is.
 *
 * System calls.  Three lists: what a server does is allowed; what only an
 * intruder does kills; anything else fails with ENOSYS, as on a kernel that
 * does not have it, because a C library of next year will try calls that
 * nobody has heard of today, and can do without.  Arguments are looked at
 * where the call could do either: clone makes threads and no processes, mmap
 * and mprotect no code.  clone3 hides its arguments in memory, so it is one of
 * those that are not there.
 *
 * pthread_cancel, with which libfuse ends its workers, loads a library at its
 * first use.  So a thread is ended in this way before the doors are closed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "config.h"

#include "fuse/sandbox.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/pool.h"
#include "base/sys.h"
#include "fuse/report.h"
#include "store/repository.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- rights --------------------------------------------------------------- */

#define CAP_WORDS 2

static int
set_capabilities(uint32_t effective, uint32_t permitted, struct err *e)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[CAP_WORDS] = {
		{ .effective = effective, .permitted = permitted },
	};

	if (syscall(SYS_capset, &head, data) < 0)
		return err_sys(e, "drop capabilities");
	return 0;
}

static uint32_t
permitted_capabilities(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[CAP_WORDS] = { { 0 } };

	if (syscall(SYS_capget, &head, data) < 0)
		return 0;
	return data[0].permitted;
}

/* The file is ours, or one that we may read as anybody may. */
static bool
can_read(int dirfd, const char *name, int flags)
{
	struct stat st;
	int fd = io_open(dirfd, name, O_RDONLY | flags, 0, NULL, NULL);
	bool ok = fd >= 0 && sys_repo->fstat(fd, &st) == 0 &&
		  (st.st_uid == geteuid() || (st.st_mode & S_IROTH) != 0);

	(void)io_close(fd, name, NULL);
	return ok;
}

/*
 * By path, too, because it may have to be opened again.  Files in a directory
 * are made by those who may write there: if it is not ours, they need not be
 * either.
 */
static bool
can_read_repository(const struct repository *r)
{
	struct stat st;

	return sys_repo->fstatat(AT_FDCWD, r->path, &st, 0) == 0 &&
	       can_read(r->fd, ".", O_DIRECTORY) &&
	       can_read(r->fd, "config", 0) &&
	       can_read(r->fd, "packs", O_DIRECTORY) &&
	       can_read(r->fd, "generations", O_DIRECTORY) &&
	       sys_repo->fstat(r->packs_fd, &st) == 0 && st.st_uid == geteuid();
}

static int
drop_rights(const struct repository *r, struct err *e)
{
	const uint32_t reading = 1U << CAP_DAC_READ_SEARCH;
	uint32_t had = permitted_capabilities();
	uint32_t keep = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, "set no_new_privs");
	if (had == 0)
		return set_capabilities(0, 0, e);
	if (set_capabilities(0, had & reading, e) < 0)
		return -1;
	if ((had & reading) != 0 && !can_read_repository(r))
		keep = reading;
	return set_capabilities(keep, keep, e);
}

/* --- files (Landlock) ----------------------------------------------------- */

/* Newer than the headers that this may be built with. */
#define FS_REFER     (UINT64_C(1) << 13) /* from ABI 2 on */
#define FS_TRUNCATE  (UINT64_C(1) << 14) /* 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* 5 */
#define NET_TCP      UINT64_C(3)         /* 4: bind, connect */
#define SCOPE_ALL    UINT64_C(3)         /* 6: abstract sockets, signals */
#define FS_FIRST     ((UINT64_C(1) << 13) - 1)

#define FS_READ                                                                \
	(LANDLOCK_ACCESS_FS_READ_FILE | (uint64_t)LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_SESSION                                                             \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |         \
	 (uint64_t)LANDLOCK_ACCESS_FS_REMOVE_FILE)

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

/* As the newest kernel knows it; an older one is shown its beginning. */
struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct files {
	int ruleset;
	uint64_t handled; /* what is forbidden unless a rule allows it */
};

static int
make_ruleset(long abi, struct files *f, struct err *e)
{
	struct ruleset_attr a = { .fs = FS_FIRST };
	size_t size = offsetof(struct ruleset_attr, net);

	if (abi >= 2)
		a.fs |= FS_REFER;
	if (abi >= 3)
		a.fs |= FS_TRUNCATE;
	if (abi >= 5)
		a.fs |= FS_IOCTL_DEV;
	if (abi >= 4) {
		a.net = NET_TCP;
		size = offsetof(struct ruleset_attr, scoped);
	}
	if (abi >= 6) {
		a.scoped = SCOPE_ALL;
		size = sizeof(a);
	}
	f->handled = a.fs;
	f->ruleset = (int)syscall(SYS_landlock_create_ruleset, &a, size, 0);
	return f->ruleset < 0 ? err_sys(e, "make Landlock's rules") : 0;
}

/* Closes fd. */
static int
allow(const struct files *f, int fd, uint64_t access, struct err *e)
{
	struct landlock_path_beneath_attr a = {
		.allowed_access = access & f->handled,
		.parent_fd = fd,
	};
	int rc = 0;

	if (syscall(SYS_landlock_add_rule, f->ruleset,
		    LANDLOCK_RULE_PATH_BENEATH, &a, 0) < 0)
		rc = err_sys(e, "add to Landlock's rules");
	(void)io_close(fd, "directory", NULL);
	return rc;
}

static int
open_place(int dirfd, const char *path, struct err *e)
{
	return io_open(dirfd, path, O_PATH | O_DIRECTORY, 0, NULL, e);
}

static int
allow_path(const struct files *f, int dirfd, const char *path, uint64_t access,
	   struct err *e)
{
	int fd = open_place(dirfd, path, e);

	return fd < 0 ? -1 : allow(f, fd, access, e);
}

static bool
is_mount_root(int fd)
{
	struct statx st;

	return sys_repo->statx(fd, "", AT_EMPTY_PATH, STATX_INO, &st) == 0 &&
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

static bool
is_root_directory(int fd)
{
	return io_is_at(fd, AT_FDCWD, "/", 0);
}

/* Where the repository's file system is mounted: the directory that has it. */
static int
allow_around_mount(const struct files *f, const struct repository *r,
		   struct err *e)
{
	int fd = open_place(r->fd, ".", e);
	bool above = false;
	int up;

	while (fd >= 0 && !above && !is_root_directory(fd)) {
		above = is_mount_root(fd);
		up = open_place(fd, "..", NULL);
		(void)io_close(fd, "..", NULL);
		fd = up;
	}
	if (above && fd >= 0 && !is_root_directory(fd))
		return allow(f, fd, FS_READ, e);
	(void)io_close(fd, "..", NULL);
	return 0;
}

static int
allow_parent(const struct files *f, const struct repository *r, struct err *e)
{
	int fd = open_place(r->fd, "..", e);

	if (fd < 0 || !is_root_directory(fd))
		return fd < 0 ? -1 : allow(f, fd, FS_READ, e);
	(void)io_close(fd, "..", NULL);
	return allow_path(f, r->fd, ".", FS_READ, e);
}

static int
allow_repository(const struct files *f, const struct repository *r,
		 struct err *e)
{
	if (allow_parent(f, r, e) < 0 || allow_around_mount(f, r, e) < 0)
		return -1;
	if (r->sessions_fd < 0)
		return 0;
	return allow_path(f, r->sessions_fd, ".", FS_READ | FS_SESSION, e);
}

static int
allow_cache(const struct files *f, const struct sandbox *s, struct err *e)
{
	struct buf above = { 0 };
	int rc = allow_path(f, AT_FDCWD, s->cache_path, f->handled, e);

	if (rc < 0 || !s->cache_temporary)
		return rc;
	buf_add_str(&above, s->cache_path);
	buf_add_str(&above, "/..");
	rc = allow_path(f, AT_FDCWD, buf_str(&above),
			LANDLOCK_ACCESS_FS_REMOVE_DIR, e);
	buf_clear(&above);
	return rc;
}

static int
close_files(const struct sandbox *s, struct err *e)
{
	struct files f = { .ruleset = -1 };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
			   LANDLOCK_CREATE_RULESET_VERSION);
	int rc;

	if (abi < 1) {
		report_line("this kernel has no Landlock: the server of the "
			    "mount could open other files");
		return 0;
	}
	rc = make_ruleset(abi, &f, e);
	if (rc == 0)
		rc = allow_repository(&f, s->repository, e);
	if (rc == 0)
		rc = allow_cache(&f, s, e);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, f.ruleset, 0) < 0)
		rc = err_sys(e, "close other files to the server");
	(void)io_close(f.ruleset, "rules", NULL);
	return rc;
}

/* --- system calls (seccomp) ----------------------------------------------- */

#if defined(__x86_64__) && !defined(__ILP32__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && !defined(__ILP32__) && !defined(__AARCH64EB__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

/* What a server does, what is frequent first. */
/* clang-format off */
static const int allowed[] = {
	/* requests: libfuse reads, and answers by writev or splice */
	SYS_read, SYS_writev, SYS_write, SYS_splice, SYS_vmsplice, SYS_tee,
	SYS_pipe2, SYS_readv, SYS_ppoll,
	/* repository and cache */
	SYS_pread64, SYS_openat, SYS_close, SYS_fstat, SYS_newfstatat,
	SYS_statx, SYS_getdents64, SYS_lseek, SYS_pwrite64, SYS_pwritev,
	SYS_fstatfs, SYS_faccessat, SYS_readlinkat, SYS_fcntl, SYS_flock,
	SYS_fsync, SYS_fdatasync, SYS_ftruncate, SYS_fallocate, SYS_unlinkat,
	SYS_mkdirat, SYS_linkat, SYS_renameat2, SYS_fchmod, SYS_msync, SYS_dup,
	SYS_dup3, SYS_fadvise64,
	/* threads, memory, time */
	SYS_futex, SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk,
	SYS_set_robust_list, SYS_rt_sigprocmask, SYS_rt_sigaction,
	SYS_rt_sigreturn, SYS_rt_sigtimedwait, SYS_tgkill, SYS_gettid,
	SYS_getpid, SYS_getppid, SYS_getuid, SYS_geteuid, SYS_getgid,
	SYS_getegid, SYS_getcwd, SYS_uname, SYS_sysinfo, SYS_sched_yield,
	SYS_sched_getaffinity, SYS_sched_getparam, SYS_sched_getscheduler,
	SYS_sigaltstack, SYS_prlimit64, SYS_getrandom, SYS_clock_gettime,
	SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday,
	SYS_restart_syscall, SYS_exit, SYS_exit_group,
	/* the supervisor's link */
	SYS_sendto, SYS_recvmsg,
/* What the C library makes of renameat2 without flags, where there is one. */
#ifdef SYS_renameat
	SYS_renameat,
#endif
#ifdef SYS_openat2
	SYS_openat2,
#endif
#ifdef SYS_faccessat2
	SYS_faccessat2,
#endif
#ifdef SYS_rseq
	SYS_rseq,
#endif
/* Older calls, which aarch64 does not have and libraries still make. */
#ifdef SYS_poll
	SYS_poll,
#endif
#ifdef SYS_open
	SYS_open,
#endif
#ifdef SYS_stat
	SYS_stat, SYS_lstat,
#endif
#ifdef SYS_access
	SYS_access,
#endif
#ifdef SYS_readlink
	SYS_readlink,
#endif
#ifdef SYS_unlink
	SYS_unlink, SYS_rmdir, SYS_mkdir, SYS_rename,
#endif
#ifdef SYS_dup2
	SYS_dup2,
#endif
#ifdef SYS_time
	SYS_time,
#endif
};

/* What nobody does here by mistake. */
static const int deadly[] = {
	SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv,
	SYS_process_vm_writev, SYS_perf_event_open, SYS_bpf, SYS_keyctl,
	SYS_socket, SYS_connect, SYS_bind, SYS_listen,
	SYS_mount, SYS_umount2, SYS_chroot, SYS_pivot_root, SYS_setns,
	SYS_unshare, SYS_mknodat, SYS_symlinkat, SYS_open_by_handle_at,
	SYS_capset, SYS_setuid, SYS_setgid, SYS_setresuid, SYS_setresgid,
	SYS_init_module, SYS_finit_module, SYS_kexec_load, SYS_reboot,
#ifdef SYS_fork
	SYS_fork, SYS_vfork,
#endif
};
/* clang-format on */

#ifdef ARCH

#define ARG_LOW(n) (offsetof(struct seccomp_data, args) + (n)*8)
#define NOT_THERE  (SECCOMP_RET_ERRNO | ENOSYS)
#define REFUSED    (SECCOMP_RET_ERRNO | EPERM)

/* x86-64 runs a second set of numbers from here on. */
#define FIRST_ODD_NUMBER 0x40000000

/* Two instructions a call, and few others. */
#define FILTER_MAX (2 * (COUNT(allowed) + COUNT(deadly)) + 40)

struct filter {
	struct sock_filter code[FILTER_MAX];
	unsigned short len;
};

static void
put(struct filter *f, unsigned short op, uint32_t k)
{
	f->code[f->len++] = (struct sock_filter)BPF_STMT(op, k);
}

/* If what is loaded compares so with `k`, end with `verdict`. */
static void
put_if(struct filter *f, unsigned short how, uint32_t k, uint32_t verdict)
{
	f->code[f->len++] = (struct sock_filter)BPF_JUMP(
		(unsigned short)(BPF_JMP | how | BPF_K), k, 0, 1);
	put(f, BPF_RET | BPF_K, verdict);
}

static void
load(struct filter *f, size_t at)
{
	put(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)at);
}

/*
 * One call by the bits of an argument: with any of `bits` set it is judged as
 * `set` says, else as `clear`.
 */
static void
put_bits(struct filter *f, long number, unsigned arg, uint32_t bits,
	 const uint32_t set_clear[2])
{
	f->code[f->len++] = (struct sock_filter)BPF_JUMP(
		BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4);
	load(f, ARG_LOW(arg));
	put_if(f, BPF_JSET, bits, set_clear[0]);
	put(f, BPF_RET | BPF_K, set_clear[1]);
}

static void
make_filter(struct filter *f)
{
	static const uint32_t no_code[] = { REFUSED, SECCOMP_RET_ALLOW };
	static const uint32_t no_process[] = { SECCOMP_RET_ALLOW,
					       SECCOMP_RET_KILL_PROCESS };
	size_t i;

	f->len = 0;
	load(f, offsetof(struct seccomp_data, arch));
	f->code[f->len++] = (struct sock_filter)BPF_JUMP(
		BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	put(f, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	load(f, offsetof(struct seccomp_data, nr));
	put_if(f, BPF_JGE, FIRST_ODD_NUMBER, SECCOMP_RET_KILL_PROCESS);
	for (i = 0; i < COUNT(allowed); i++)
		put_if(f, BPF_JEQ, (uint32_t)allowed[i], SECCOMP_RET_ALLOW);
	put_bits(f, SYS_mmap, 2, PROT_EXEC, no_code);
	put_bits(f, SYS_mprotect, 2, PROT_EXEC, no_code);
	put_bits(f, SYS_clone, 0, CLONE_THREAD, no_process);
	put_if(f, BPF_JEQ, SYS_prctl, REFUSED); /* pthread_setname_np */
	for (i = 0; i < COUNT(deadly); i++)
		put_if(f, BPF_JEQ, (uint32_t)deadly[i],
		       SECCOMP_RET_KILL_PROCESS);
	put(f, BPF_RET | BPF_K, NOT_THERE);
}

static int
close_calls(struct err *e)
{
	struct filter f;
	struct sock_fprog program = { .filter = f.code };

	make_filter(&f);
	program.len = f.len;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return err_sys(e, "close system calls to the server");
	report_line("this kernel has no seccomp filters: the server of the "
		    "mount could make any system call");
	return 0;
}

#else

static int
close_calls(struct err *e)
{
	(void)e;
	(void)allowed;
	(void)deadly;
	report_line("there is no list of system calls for this machine: the "
		    "server of the mount could make any");
	return 0;
}

#endif

/* --- all of it ------------------------------------------------------------ */

/* Tools that watch a program from inside it make calls of their own. */
static const char *
watched_by(void)
{
#ifdef ASOF_SANITIZED
	return "the sanitizers in this build";
#else
	const char *preload = getenv("LD_PRELOAD");

	if (preload != NULL && strstr(preload, "vgpreload") != NULL)
		return "valgrind";
	return NULL;
#endif
}

static void *
end_at_once(void *arg)
{
	pthread_exit(arg);
}

static int
load_late_libraries(struct err *e)
{
	pthread_t thread;

	if (pool_thread(&thread, end_at_once, NULL, e) < 0)
		return -1;
	(void)pthread_join(thread, NULL);
	tzset();
	return 0;
}

int
sandbox_enter(const struct sandbox *s, struct err *e)
{
	const char *watcher = watched_by();

	if (drop_rights(s->repository, e) < 0)
		return -1;
	if (s->off) {
		report_line("as asked, the server of the mount is not locked "
			    "down");
		return 0;
	}
	if (watcher != NULL) {
		report_line("because of %s, the server of the mount is not "
			    "locked down",
			    watcher);
		return 0;
	}
	if (load_late_libraries(e) < 0 || close_files(s, e) < 0)
		return -1;
	return close_calls(e);
}
