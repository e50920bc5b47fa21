"""What the benchmarks share: commands that are timed, and backup programs."""
import os, shutil, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))


def sh(cmd, **kw):
    return subprocess.run(cmd, shell=isinstance(cmd, str), check=True,
                          stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, **kw)


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3\n")


def measure(cmd, env, cwd=None, ok=(0,)):
    """Seconds, peak KiB of the largest process, CPU seconds, bytes read.

    Bytes read are those of read(2) and the like by the command and what it
    waited for, out of the page cache or not: the kernel's count.  The peak is
    asked of time(1), because a child of ours counts as large as we are.
    """
    if isinstance(cmd, str):
        cmd = ["sh", "-c", cmd]
    with tempfile.NamedTemporaryFile("r") as peak:
        before = time.monotonic()
        p = subprocess.Popen(["time", "-q", "-f", "%M", "-o", peak.name, *cmd],
                             cwd=cwd, env=env, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
        err = p.stderr.read()
        os.waitid(os.P_PID, p.pid, os.WEXITED | os.WNOWAIT)
        took = time.monotonic() - before
        with open(f"/proc/{p.pid}/io") as f:
            read = int(f.readline().split()[1])
        _, status, ru = os.wait4(p.pid, 0)
        kib = int(peak.read())
    code = os.waitstatus_to_exitcode(status)
    if code not in ok:
        sys.exit(f"{cmd}: exit {code}\n{err.decode(errors='replace')[-2000:]}")
    return took, kib, ru.ru_utime + ru.ru_stime, read


def du(path):
    total = 0
    for d, _, files in os.walk(path):
        for f in files:
            total += os.lstat(os.path.join(d, f)).st_size
    return total


class Tool:
    def __init__(self, work, tree, *more):
        self.tree = tree
        self.sources = (tree, *more)
        self.repo = os.path.join(work, "repo-" + self.name)
        self.cache = os.path.join(work, "cache-" + self.name)
        self.env = dict(os.environ)

    def reset(self):
        for d in (self.repo, self.cache):
            shutil.rmtree(d, ignore_errors=True)
        os.makedirs(self.cache)

    def use(self):
        """Set what its commands need in the environment."""

    def size(self):
        return du(self.repo)


class Asof(Tool):
    name = "asof"
    binary = os.environ.get("ASOF", os.path.join(HERE, "..", "build", "asof"))

    def use(self):
        for name in ("CACHE_DIR", "STATE_DIR", "WRITERS_D", "RUN_DIR"):
            self.env["ASOF_" + name] = os.path.join(self.cache, name)

    def init(self):
        self.use()
        sh([self.binary, "init", "-r", self.repo], env=self.env)

    def backup(self, n):
        return [self.binary, "backup", "-q", "-r", self.repo, *self.sources]

    def restore(self, to):
        return [self.binary, "restore", "-q", "-r", self.repo, "latest",
                "--to", to]


class Restic(Tool):
    name = "restic"

    def use(self):
        self.env.update(RESTIC_PASSWORD="x", RESTIC_CACHE_DIR=self.cache)

    def init(self):
        self.use()
        sh(["restic", "init", "-r", self.repo], env=self.env)

    def backup(self, n):
        return ["restic", "-q", "-r", self.repo, "backup", *self.sources]

    def restore(self, to):
        return ["restic", "-q", "-r", self.repo, "restore", "latest",
                "--target", to]


class Borg(Tool):
    name = "borg"

    def use(self):
        self.env.update(BORG_BASE_DIR=self.cache,
                        BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK="yes",
                        BORG_RELOCATED_REPO_ACCESS_IS_OK="yes")

    def init(self):
        self.use()
        sh(["borg", "init", "-e", "none", self.repo], env=self.env)

    def backup(self, n):
        self.last = f"a{n}"
        return ["borg", "create", "-C", "zstd,3",
                f"{self.repo}::{self.last}", *self.sources]

    def restore(self, to):
        return f"cd {to} && exec borg extract {self.repo}::{self.last}"
