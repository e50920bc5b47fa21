"""What the benchmarks share: commands that are timed, and backup programs."""
import os, shutil, subprocess, sys, time

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
    """Seconds, peak KiB of the largest process, CPU seconds."""
    before = time.monotonic()
    p = subprocess.Popen(cmd, shell=isinstance(cmd, str), cwd=cwd, env=env,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    err = p.stderr.read()
    _, status, ru = os.wait4(p.pid, 0)
    took = time.monotonic() - before
    code = os.waitstatus_to_exitcode(status)
    if code not in ok:
        sys.exit(f"{cmd}: exit {code}\n{err.decode(errors='replace')[-2000:]}")
    return took, ru.ru_maxrss, ru.ru_utime + ru.ru_stime


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
        self.env["ASOF_CACHE_DIR"] = self.cache
        self.env["ASOF_STATE_DIR"] = self.cache + "-state"
        self.env["ASOF_WRITERS_D"] = self.cache + "-none"
        self.env["ASOF_RUN_DIR"] = self.cache + "-run"

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
