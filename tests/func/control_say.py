#!/usr/bin/env python3
"""What the system calls of a writer give, one word for each step.

    control_say.py FILE STEP ...

A step is MODE (r, w, rw, a, t: append, truncate; n: without waiting), which
opens FILE, and must be the first; `=TEXT`, which writes TEXT (with Python's
escapes) in one write; `*NxTEXT`, TEXT N times in one write; `read`, `readN`;
`poll`; `close`; `truncate`, `truncateN`, `chmod`, `chown`, `utime`, `fsync`,
`seek`, `mmap`; `@UID`, which becomes that user (and can come back); `file:PATH`,
another file for the next open; `create:NAME`, `mkdir:PATH`, `rmdir:PATH`,
`rename:A:B`, `link:A:B`, `symlink:A:B`, `unlink:PATH`.

Printed is a number or text, or the name of an errno.
"""
import errno
import mmap
import os
import select
import sys

MODES = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR,
         "a": os.O_WRONLY | os.O_APPEND, "t": os.O_WRONLY | os.O_TRUNC,
         "c": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
         "n": os.O_RDONLY | os.O_NONBLOCK}


class Writer:
    def __init__(self, path):
        self.path = path
        self.fd = -1

    def text(self, s):
        return s.encode().decode("unicode_escape").encode("latin-1")

    def become(self, uid):
        os.seteuid(0)
        os.setegid(uid)
        os.seteuid(uid)

    def poll(self):
        p = select.poll()
        p.register(self.fd, select.POLLIN)
        got = p.poll(0)
        bits = got[0][1] if got else 0
        names = [n for n in ("POLLIN", "POLLHUP", "POLLERR")
                 if bits & getattr(select, n)]
        return "+".join(names) or "0"

    def two(self, fn, arg):
        a, b = arg.split(":", 1)
        fn(a, b)

    def step(self, s):
        if s in MODES:
            self.fd = os.open(self.path, MODES[s], 0o600)
            return "open"
        if s.startswith("="):
            return os.write(self.fd, self.text(s[1:]))
        if s.startswith("*"):
            n, what = s[1:].split("x", 1)
            return os.write(self.fd, self.text(what) * int(n))
        if s.startswith("@"):
            return self.become(int(s[1:]))
        name, _, arg = s.partition(":")
        if name == "file":
            self.path = arg
            return None
        if name == "create":
            os.close(os.open(arg, os.O_WRONLY | os.O_CREAT, 0o600))
        elif name in ("mkdir", "rmdir", "unlink"):
            getattr(os, name)(arg)
        elif name in ("rename", "link", "symlink"):
            self.two(getattr(os, name), arg)
        elif name == "poll":
            return self.poll()
        elif name == "close":
            os.close(self.fd)
        elif name.startswith("read"):
            return repr(os.read(self.fd, int(name[4:] or "65536")))[1:]
        elif name.startswith("truncate"):
            os.ftruncate(self.fd, int(name[8:] or "0"))
        elif name == "chmod":
            os.chmod(self.path, 0o644)
        elif name == "chown":
            os.chown(self.path, 12345, 12345)
        elif name == "utime":
            os.utime(self.path)
        elif name == "fsync":
            os.fsync(self.fd)
        elif name == "seek":
            return os.lseek(self.fd, 0, os.SEEK_END)
        elif name == "mmap":
            mmap.mmap(self.fd, 1, mmap.MAP_SHARED, mmap.PROT_READ)
        else:
            raise SystemExit("no step " + s)
        return "ok"


def main():
    w = Writer(sys.argv[1])
    w.text("\\n")  # what that needs is not found as another user
    said = []
    for s in sys.argv[2:]:
        try:
            got = w.step(s)
        except OSError as e:
            got = errno.errorcode[e.errno]
        if got is not None:
            said.append(str(got))
    print(" ".join(said))


main()
