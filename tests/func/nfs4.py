"""A client of NFS 4.0, as small as can be.

    nfs4.py PORT handle PATH FILE    walk from the root, keep the handle in FILE
    nfs4.py PORT read FILE           what the handle stands for, to stdout
    nfs4.py PORT list FILE           the names in it, one a line

A handle is all that it knows of a file: after any restart of whatever is behind
the port, it asks with the same bytes.
"""
import os
import socket
import struct
import sys

READ_LEN = 256 << 10
GETFH, LOOKUP, PUTFH, PUTROOTFH, READ, READDIR = 10, 15, 22, 24, 25, 26
ANYBODY = bytes(16)  # the state of who has opened nothing


def opaque(b):
    return struct.pack(">I", len(b)) + b + bytes(-len(b) % 4)


class Words:
    def __init__(self, b):
        self.b, self.at = b, 0

    def u32(self):
        self.at += 4
        return struct.unpack_from(">I", self.b, self.at - 4)[0]

    def u64(self):
        return self.u32() << 32 | self.u32()

    def fixed(self, n):
        self.at += n
        return self.b[self.at - n:self.at]

    def opaque(self):
        n = self.u32()
        return self.fixed(n + -n % 4)[:n]


class Server:
    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), 10)
        self.xid = 1

    def exactly(self, n):
        b = b""
        while len(b) < n:
            more = self.s.recv(n - len(b))
            if not more:
                sys.exit("the server hung up")
            b += more
        return b

    def record(self):
        b, last = b"", 0
        while not last:
            n = struct.unpack(">I", self.exactly(4))[0]
            last, n = n >> 31, n & 0x7fffffff
            b += self.exactly(n)
        return b

    def compound(self, *ops):
        """The words behind the status of the last operation."""
        self.xid += 1
        who = struct.pack(">I", 0) + opaque(b"test") + bytes(12)
        call = struct.pack(">IIIIII", self.xid, 0, 2, 100003, 4, 1)
        call += struct.pack(">I", 1) + opaque(who) + bytes(8)
        call += opaque(b"") + struct.pack(">II", 0, len(ops)) + b"".join(ops)
        self.s.sendall(struct.pack(">I", len(call) | 1 << 31) + call)
        w = Words(self.record())
        w.fixed(12)
        w.u32(), w.opaque()
        if w.u32() != 0:
            sys.exit("the call was refused")
        status, _, done = w.u32(), w.opaque(), w.u32()
        if status != 0:
            sys.exit("operation %d of %d failed: %d" % (done, len(ops), status))
        for _ in ops[:-1]:  # none of them answers with more than this
            w.fixed(8)
        w.fixed(8)
        return w

    def handle(self, path):
        walk = [op(LOOKUP, opaque(p)) for p in path.strip(b"/").split(b"/")]
        return self.compound(op(PUTROOTFH), *walk, op(GETFH)).opaque()

    def read(self, handle, out):
        at, end = 0, 0
        while not end:
            w = self.compound(op(PUTFH, opaque(handle)), op(
                READ, ANYBODY + struct.pack(">QI", at, READ_LEN)))
            end, data = w.u32(), w.opaque()
            at += len(data)
            out.write(data)

    def list(self, handle):
        cookie, verifier, end = 0, bytes(8), 0
        while not end:
            w = self.compound(op(PUTFH, opaque(handle)), op(
                READDIR, struct.pack(">Q", cookie) + verifier +
                struct.pack(">III", 4096, 32768, 0)))
            verifier = w.fixed(8)
            while w.u32():
                cookie, name = w.u64(), w.opaque()
                w.fixed(4 * w.u32()), w.opaque()
                yield name
            end = w.u32()


def op(number, args=b""):
    return struct.pack(">I", number) + args


server = Server(int(sys.argv[1]))
if sys.argv[2] == "handle":
    with open(sys.argv[4], "wb") as f:
        f.write(server.handle(os.fsencode(sys.argv[3])))
else:
    with open(sys.argv[3], "rb") as f:
        kept = f.read()
    if sys.argv[2] == "read":
        server.read(kept, sys.stdout.buffer)
    else:
        for name in server.list(kept):
            sys.stdout.buffer.write(name + b"\n")
