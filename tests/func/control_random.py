#!/usr/bin/env python3
"""Three users write what they like into their control files, all at once.

    control_random.py WRITERS GRANTS SECONDS SEED

WRITERS/NAME is registered for user UID (NAMES below), who may name paths in
GRANTS/NAME.  Each of them is a process of that user, which does things at
random and knows what has to come of each:

- a line is accepted as a whole or refused as a whole, and then nothing of it
  is listed;
- what write(2) returns is the bytes up to the last accepted line, and an
  unfinished one behind it;
- of a transaction all is listed, or nothing;
- a document that was refused leaves the old one;
- what one user wrote no other can read.

Printed is what was done; the exit code is 1 when anything was not as it
should be.  The same seed does the same in each process, not in the same order
among them.
"""
import errno
import mmap
import os
import random
import select
import signal
import sys
import time

NAMES = {"one": 10001, "two": 10002, "three": 10003}
LINE_MAX = 65536


class Wrong(Exception):
    pass


class User:
    def __init__(self, name, writers, grants, seed):
        self.name = name
        self.dir = f"{writers}/{name}"
        self.others = [f"{writers}/{n}" for n in NAMES if n != name]
        self.grant = f"{grants}/{name}"
        self.rng = random.Random(f"{seed} {name}")
        self.secret = f"secret-of-{name}"
        self.count = 0
        self.accepted = set()
        self.refused = set()
        self.unknown = set()  # in hostile input; may be either
        self.caption = None
        self.done = {}

    # --- what is written -----------------------------------------------------

    def mark(self):
        self.count += 1
        return f"{self.secret}-{self.count}-"

    def good(self, mark):
        n = self.rng.randrange(4)
        ranges = ",".join(f"{self.rng.randrange(1 << 40)}:"
                          f"{self.rng.randrange(1, 1 << 20)}"
                          for _ in range(self.rng.randrange(1, 5)))
        if n == 0:
            return f'gap db "{self.grant}/{mark}"'
        return (f'partial-file db "{self.grant}/file" '
                f'{ranges} metadata="{mark}"')

    def bad(self, mark):
        r = self.rng
        return r.choice([
            f'partial-file none "{self.grant}/file" 0:1 metadata="{mark}"',
            f'partial-file db "{self.grant}/../file" 0:1 metadata="{mark}"',
            f'partial-file db "/etc/passwd" 0:1 metadata="{mark}"',
            f'partial-file db "{self.grant}/file" 0: metadata="{mark}"',
            f'partial-file db "{self.grant}/file" 0:1 metadata="{mark}" x=1',
            f'partial-file db "{self.grant}/file" 18446744073709551615:2 '
            f'metadata="{mark}"',
            f'partial-file db "{self.grant}/file" file=/etc/shadow '
            f'metadata="{mark}"',
            f'nonsense "{mark}"',
            f'gap "{mark}',
            f'backup-stamp "{mark}"',
            f'commit "{mark}"',
            f'"{mark}"' + "x" * r.randrange(LINE_MAX, LINE_MAX + 9),
        ])

    def document(self, caption, fault):
        lines = [f"writer {self.name}", "schema incremental",
                 "restore-method restore-if-can-replace",
                 f'component db database selectable=yes caption="{caption}"',
                 f'database-files db "{self.grant}" "*" recursive']
        if fault:
            lines.insert(self.rng.randrange(len(lines) + 1), self.rng.choice([
                "nonsense", 'component "x', "schema full",
                'files db /etc "*"', "exclude relative x", "end x"]))
        return "\n".join(lines + ["end", ""]).encode()

    # --- steps ---------------------------------------------------------------

    def write(self, fd, data):
        try:
            return os.write(fd, data)
        except OSError as e:
            if e.errno in (errno.EIO, errno.ENOSYS, errno.ENOTCONN):
                raise Wrong(f"{errno.errorcode[e.errno]} for {data[:80]!r}")
            return -e.errno

    def opened(self, name, flags):
        return os.open(f"{self.dir}/{name}", flags)

    def do_lines(self):
        """Lines in one write, one of them perhaps not a good one."""
        fd = self.opened("declare", os.O_WRONLY)
        lines = []
        for _ in range(self.rng.randrange(1, 6)):
            mark = self.mark()
            good = self.rng.random() < 0.8
            text = self.good(mark) if good else self.bad(mark)
            lines.append((mark, good, text.encode() + b"\n"))
        data = b"".join(t for _, _, t in lines)
        want = 0
        first = True
        for mark, good, text in lines:
            if not good:
                self.refused.add(mark)
                break
            want += len(text)
            self.accepted.add(mark)
            first = False
        got = self.write(fd, data)
        if first and got >= 0 or not first and got != want:
            raise Wrong(f"write gave {got}, not {want}: {data[:300]!r}")
        os.close(fd)

    def do_pieces(self):
        """One line in pieces: accepted by its last, or the handle fails."""
        fd = self.opened("declare", os.O_WRONLY | os.O_APPEND)
        mark = self.mark()
        good = self.rng.random() < 0.5
        text = self.good(mark) if good else f'nonsense "{mark}"'
        data = text.encode() + b"\n"
        cut = self.rng.randrange(1, len(data) - 1)
        if self.write(fd, data[:cut]) != cut:
            raise Wrong("the head of a line was not taken")
        got = self.write(fd, data[cut:])
        if good:
            self.accepted.add(mark)
            if got != len(data) - cut:
                raise Wrong(f"the tail of a line gave {got}")
        else:
            self.refused.add(mark)
            if got >= 0 or self.write(fd, b"#\n") != got:
                raise Wrong("the handle did not fail")
        os.close(fd)

    def do_transaction(self):
        fd = self.opened("declare", os.O_WRONLY)
        if self.write(fd, b"begin\n") != 6:
            raise Wrong("begin was refused")
        marks = [self.mark() for _ in range(self.rng.randrange(1, 5))]
        bad = self.rng.random() < 0.3
        for m in marks:
            t = self.good(m).encode() + b"\n"
            if self.write(fd, t) != len(t):
                raise Wrong("a line of a transaction was refused")
        if bad:
            m = self.mark()
            self.refused.add(m)
            if self.write(fd, self.bad(m).encode() + b"\n") >= 0:
                raise Wrong("a bad line of a transaction was taken")
        how = self.rng.choice(["commit\n", "abort\n", None])
        got = self.write(fd, how.encode()) if how else 0
        if how == "commit\n" and not bad:
            self.accepted.update(marks)
            if got != len(how):
                raise Wrong(f"commit gave {got}")
        else:
            self.refused.update(marks)
            if how == "commit\n" and got != -errno.EINVAL:
                raise Wrong(f"commit of a failed transaction gave {got}")
        os.close(fd)

    def do_document(self):
        fd = self.opened("metadata", os.O_WRONLY | os.O_TRUNC)
        caption = self.mark()
        fault = self.rng.random() < 0.5
        data = self.document(caption, fault)
        at = 0
        got = 0
        while at < len(data):
            n = self.rng.choice([len(data), 1 + self.rng.randrange(80)])
            got = self.write(fd, data[at:at + n])
            if got < 0:
                break
            at += got
        if fault and got >= 0:
            raise Wrong(f"a bad document was taken: {data!r}")
        if not fault:
            if got < 0:
                raise Wrong(f"a good document was refused: {got}")
            self.caption = caption
        os.close(fd)
        text = self.read("metadata")
        if (self.caption or "").encode() not in text:
            raise Wrong("not the document that was handed in last")

    def do_garbage(self):
        """Anything at all, into any file; a good line may be in it."""
        name = self.rng.choice(["declare", "metadata", "answer"])
        fd = self.opened(name, os.O_WRONLY)
        for _ in range(self.rng.randrange(1, 5)):
            n = self.rng.choice([1, 10, 100, 5000, 70000, 300000])
            kind = self.rng.randrange(4)
            if kind == 0:
                data = self.rng.randbytes(n)
            elif kind == 1:
                data = bytes(self.rng.choices(b'db/"\\= \n\r\t:0x,#\0', k=n))
            elif kind == 2:
                mark = self.mark()
                self.unknown.add(mark)
                data = bytearray((self.good(mark) + "\n").encode())
                for _ in range(self.rng.randrange(1, 5)):
                    data[self.rng.randrange(len(data))] = \
                        self.rng.randrange(256)
            else:
                data = b"ok %d\nfail %d fatal x\n" % (n, n)
            self.write(fd, bytes(data))
            # No good document comes of it: it would not be known here.
            if name == "metadata" and b"end" in bytes(data):
                break
        os.close(fd)

    def do_stamp(self):
        path = f"{self.dir}/components/db/stamp"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT)
        except FileNotFoundError:
            return  # there is no document yet
        self.write(fd, self.rng.randbytes(self.rng.choice([1, 99, 65537])))
        os.close(fd)

    def do_read(self):
        """What is listed is what was accepted, of mine alone."""
        text = self.read("declare")
        for n in NAMES:
            if n != self.name and f"secret-of-{n}".encode() in text:
                raise Wrong("somebody else's lines are listed")
        # A refusal leaves a gap, whose path may be what was refused.
        lines = [t for t in text.split(b"\n") if b"# refused" not in t]
        text = b"\n".join(lines)
        for m in self.refused:
            if m.encode() in text:
                raise Wrong(f"{m} was refused and is listed")
        if b"earlier ones are not shown" in text:
            return
        for m in self.accepted:
            if m.encode() not in text:
                if os.environ.get("CONTROL_KEEP"):
                    print(f"# {text.decode()}")
                raise Wrong(f"{m} was accepted and is not listed")

    def do_log(self):
        text = self.read("log")
        for n in NAMES:
            if n != self.name and f"secret-of-{n}".encode() in text:
                raise Wrong("somebody else's lines are in the log")
        if any(c < " " and c != "\n" or "\x7f" <= c < "\xa0"
               for c in text.decode()):
            raise Wrong("the log has bytes that are not escaped")

    def do_events(self):
        try:
            fd = self.opened("events", os.O_RDONLY | os.O_NONBLOCK)
        except OSError as e:
            if e.errno != errno.EBUSY:
                raise
            return
        p = select.poll()
        p.register(fd, select.POLLIN)
        if p.poll(0):
            raise Wrong("there is an event outside of a session")
        try:
            os.read(fd, 100)
            raise Wrong("something was read")
        except BlockingIOError:
            pass
        os.close(fd)

    def do_blocked(self):
        """A reader that waits is interrupted, or killed."""
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            try:
                os.read(self.opened("events", os.O_RDONLY), 10)
            finally:
                os._exit(0)
        if self.rng.random() < 0.5:
            time.sleep(self.rng.random() * 0.02)
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def do_pry(self):
        """Others' files."""
        other = self.rng.choice(self.others)
        name = self.rng.choice(["declare", "metadata", "log", "events",
                                "answer", "components", "components/db",
                                "components/db/pending",
                                "components/db/stamp"])
        flags = self.rng.choice([os.O_RDONLY, os.O_WRONLY, os.O_RDWR,
                                 os.O_WRONLY | os.O_CREAT | os.O_TRUNC])
        try:
            os.close(os.open(f"{other}/{name}", flags))
        except OSError as e:
            if e.errno in (errno.EACCES, errno.ENOENT, errno.EISDIR,
                           errno.EPERM):
                return
            raise
        raise Wrong(f"{other}/{name} could be opened")

    def do_nonsense(self):
        """What there is not."""
        d = self.dir
        fd = self.opened("log", os.O_RDONLY)
        calls = [
            lambda: os.mkdir(f"{d}/x"), lambda: os.rmdir(f"{d}/components"),
            lambda: os.unlink(f"{d}/log"), lambda: os.link(f"{d}/log", f"{d}/x"),
            lambda: os.rename(f"{d}/log", f"{d}/declare"),
            lambda: os.symlink("x", f"{d}/x"), lambda: os.mkfifo(f"{d}/x"),
            lambda: os.mkdir(f"{d}/../x"), lambda: os.rmdir(self.others[0]),
            lambda: os.chown(f"{d}/log", 0, 0),
            lambda: os.setxattr(f"{d}/log", "user.x", b"x"),
            lambda: mmap.mmap(fd, 1, mmap.MAP_SHARED, mmap.PROT_READ),
            lambda: os.close(os.open(f"{d}/x", os.O_WRONLY | os.O_CREAT)),
            lambda: os.close(os.open("/".join([d, "x" * 300]), os.O_RDONLY)),
        ]
        try:
            self.rng.choice(calls)()
        except OSError:
            return
        finally:
            os.close(fd)
        raise Wrong("something was done that cannot be")

    def do_handles(self):
        """More than there may be; then as before."""
        fds = []
        try:
            for _ in range(self.rng.choice([3, 70])):
                fds.append(self.opened("declare", os.O_RDWR))
        except OSError as e:
            if e.errno != errno.EMFILE or len(fds) > 64:
                raise
        for fd in fds:
            os.close(fd)

    def do_list(self):
        for top, _, names in os.walk(self.dir):
            for n in names:
                os.lstat(f"{top}/{n}")

    def read(self, name):
        fd = self.opened(name, os.O_RDONLY)
        parts = []
        while True:
            part = os.pread(fd, 1 << 16, sum(map(len, parts)))
            if not part:
                break
            parts.append(part)
        os.close(fd)
        return b"".join(parts)

    # --- all of them -----------------------------------------------------------

    def run(self, until):
        steps = [m for m in dir(self) if m.startswith("do_")]
        while self.caption is None:
            self.attempt(self.do_document)
        while time.monotonic() < until:
            name = self.rng.choice(steps)
            self.attempt(getattr(self, name))
            self.done[name] = self.done.get(name, 0) + 1
        self.attempt(self.do_read)
        self.attempt(self.do_log)
        print(f"# {self.name}: " + " ".join(
            f"{k[3:]}={v}" for k, v in sorted(self.done.items())),
            f"accepted={len(self.accepted)} refused={len(self.refused)}",
            flush=True)

    def attempt(self, step):
        """A close takes effect later: handles may be short for a while."""
        for _ in range(200):
            accepted = set(self.accepted)
            refused = set(self.refused)
            try:
                return step()
            except OSError as e:
                if e.errno not in (errno.EMFILE,):
                    raise
                self.accepted, self.refused = accepted, refused
                time.sleep(0.01)
        raise Wrong("handles stay in use")


def one(name, uid, writers, grants, until, seed):
    pid = os.fork()
    if pid > 0:
        return pid
    user = User(name, writers, grants, seed)
    user.document("x", False).decode("unicode_escape")
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    code = 0
    try:
        user.run(until)
    except (Wrong, OSError) as e:
        print(f"# {name}: {type(e).__name__}: {e}"[:1000], flush=True)
        tb = e.__traceback__
        while tb is not None:
            print(f"#   {tb.tb_frame.f_code.co_name}:{tb.tb_lineno}")
            tb = tb.tb_next
        code = 1
    sys.stdout.flush()
    os._exit(code)


def main():
    writers, grants, seconds, seed = sys.argv[1:]
    until = time.monotonic() + float(seconds)
    pids = [one(n, uid, writers, grants, until, seed)
            for n, uid in NAMES.items()]
    codes = [os.waitpid(p, 0)[1] for p in pids]
    sys.exit(1 if any(codes) else 0)


main()
