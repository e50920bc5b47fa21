#!/usr/bin/env python3
"""Read a repository with nothing but doc/format.md in hand.

usage: reader.py [--sums] REPOSITORY [NUMBER]

Says of each entry of the generation (default: the newest) what find(1) says
with -printf '%y %m %U %G SIZE %T@ %p\\0', SIZE being a file's size, a symlink's
target, else "-".  With --sums: the SHA-256 and path of each file, as sha256sum
-z does.  It shares no code with asof; # stands before sections of the document.
Ids and checksums are not compared: Python's library lacks BLAKE3.
"""
import functools
import hashlib
import pathlib
import struct
import subprocess
import sys

MIB, DATA, TREE, MAP, LINKS, LIST = 1 << 20, 1, 2, 3, 4, 5
SUMMARY = {     # what an inner item says of the leaf items beneath it
    TREE: lambda v: [v[0]["name"], len(v), sum(e["inodes"] for e in v),
                     max(e["tree flags"] for e in v)],
    MAP: lambda v: [0, sum(length for length, _ in v)],
    LINKS: lambda v: [v[0][0], len(v)],
    LIST: lambda v: [0, len(v)],
}


def need(condition, what):
    if not condition:
        sys.exit("reader.py: corrupt: " + what)


class Cursor:                                                           # 1
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        need(self.at + n <= len(self.data), "it ends too soon")
        self.at += n
        return self.data[self.at - n:self.at]

    def fixed(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def varint(self, least=0, most=2**64 - 1):
        v, n, c = 0, 0, 0x80
        while c & 0x80:
            c = self.take(1)[0]
            v |= (c & 0x7f) << 7 * n
            n += 1
        need(n <= 10 and (c or n == 1) and least <= v <= most, "a varint")
        return v

    def string(self, least=0, most=2**64 - 1):
        return self.take(self.varint(least, most))

    def time(self):
        v = self.varint()
        return v >> 1 ^ -(v & 1), self.varint(most=10**9 - 1)

    def end(self):
        need(self.at == len(self.data), "bytes behind the end")


class Repository:
    def __init__(self, path):                                           # 2, 3
        self.path, self.packs = pathlib.Path(path), {}
        r = self.sealed("config", b"asofrepo", 65536)
        self.id, _, suite, _, _ = r.take(16), r.time(), *r.fixed("3sQ32s")
        need(suite == b"\0\1\1", "unknown suite, hash or chunker")
        for _ in range(2):
            table = [(r.varint(), r.varint(4096, 4 * MIB))
                     for _ in range(r.varint(1, 8))]
            need(table[0][0] == 0 and table == sorted(table), "classes")
        r.end()
        self.places = {}    # (kind, id): slice of a frame, and the frame
        for file in self.path.glob("packs/" + 32 * "[0-9a-f]"):
            self.packs[file.name] = file.read_bytes()
            self.read_pack(file.name, self.packs[file.name])

    def sealed(self, name, magic, most):                                # 3, 11
        data = (self.path / name).read_bytes()
        head = struct.unpack("<8sII3Q", data[:40])
        need(head[:2] == (magic, 1) and head[3] == 0 and head[2] <= most and
             len(data) == 72 + head[2], name)
        return Cursor(data[40:-32])

    def read_pack(self, name, data):                                    # 5
        need(data[:128] == b"asofpack" + struct.pack("<II", 1, 0) +
             bytes.fromhex(name) + bytes(96), "header of " + name)
        magic, version, chunks, blocks, at, length, zero, _, _ = \
            struct.unpack("<8s6I16s16s", data[-64:])
        need((magic, version, zero, length) ==
             (b"asofpend", 1, 0, 32 * blocks) and 1 <= chunks <= MIB and
             blocks == -(-chunks // 512) and at + length + 64 == len(data),
             "footer of " + name)
        r = Cursor(data[at:at + length])
        rows = [r.fixed("IIIB3s16s") for _ in range(blocks)]
        end = 128           # of the frames seen so far
        for n, row in enumerate(rows):
            behind = (rows + [(at,)])[n + 1][0]
            need(row[0] + row[1] == behind and row[4] == bytes(3), "block")
            block = Cursor(self.frame(name, *row[:4]))
            end = self.read_block(name, block, min(512, chunks - 512 * n), end)
        need(end == rows[0][0], "frames end elsewhere")

    def read_block(self, name, r, count, end):                          # 5
        chunks, frames = r.fixed("HH")
        need(chunks == count and 1 <= frames <= chunks, "block")
        rows = [r.fixed("IIIBBHI") for _ in range(frames)]
        ids = [r.take(32) for _ in range(chunks)]
        lengths = [r.fixed("I")[0] for _ in range(chunks)]
        r.end()
        for at, stored, raw, method, kind, n, first in rows:
            # One that goes on from the block before ends where that said.
            need(at == end if first == 0 else at + stored == end, "a gap")
            end = at + stored
            need(DATA <= kind <= LIST and 1 <= n <= len(ids), "frame")
            for id, length in zip(ids[:n], lengths[:n]):
                place = slice(first, first + length)
                self.places[kind, id] = place, name, at, stored, raw, method
                first += length
                need(length >= 1 and first <= raw, "a chunk leaves its frame")
            del ids[:n], lengths[:n]
        need(not ids, "chunks without a frame")
        return end

    @functools.lru_cache(maxsize=64)
    def frame(self, pack, at, stored, raw, method):                     # 6
        data = self.packs[pack][at:at + stored]
        need(len(data) == stored <= raw <= 16 * MIB and method <= 1, "frame")
        if method == 1:
            data = subprocess.run(["zstd", "-dcq"], input=data, check=True,
                                  stdout=subprocess.PIPE).stdout
        need(len(data) == raw >= 1, "a frame's content")
        return data

    def chunk(self, kind, id):
        need((kind, id) in self.places, "no chunk " + id.hex())
        place, *frame = self.places[kind, id]
        return self.frame(*frame)[place]

    def nodes(self, kind, id, level=None):                              # 7-10
        """The leaf items beneath a node; what inner items say is compared."""
        r, out = Cursor(self.chunk(kind, id)), []
        version, have = r.fixed("BB")
        need(version == 1 and have < 8 and level in (None, have), "node")
        for _ in range(r.varint(have > 0 or kind in (LINKS, LIST))):
            if have == 0:
                out += self.leaf(kind, r)
                continue
            said = ([r.string(1, 255), r.take(32), r.varint(1), r.varint(),
                     r.take(1)[0]] if kind == TREE else
                    [(r.varint(), r.varint()) if kind == LINKS else 0,
                     r.varint(1), r.take(32)])
            below = self.nodes(kind, said.pop(1 if kind == TREE else 2),
                               have - 1)
            need(said == SUMMARY[kind](below), "inner item")
            out += below
        r.end()
        return out

    def leaf(self, kind, r):                                            # 7-10
        """A leaf's item; of a map its pieces: length, id or None (a hole)."""
        if kind == TREE:
            return [self.entry(Cursor(r.string()))]
        if kind == LINKS:
            return [((r.varint(), r.varint()), r.varint(1), r.take(32),
                     r.string(1, 255))]
        if kind == LIST:
            return [r.string(0, 131072)]
        tag = r.take(1)[0]
        need(1 <= tag <= 4, "map item")
        count = r.varint(2) if tag in (2, 4) else 1
        length = r.varint(1, 2**63 - 1 if tag == 3 else 16 * MIB)
        id = r.take(32) if tag < 3 else None
        return [(length, r.take(32) if tag == 4 else id) for _ in range(count)]

    def content(self, r, size):                                         # 7
        form = r.take(1)[0]
        need(form <= 2 and (form == 0) == (size == 0), "content")
        pieces = [piece for _ in range(r.varint(1, 4) if form == 1 else 0)
                  for piece in self.leaf(MAP, r)]
        if form == 2:
            root, levels = r.fixed("32sB")
            need(1 <= levels <= 8, "levels of a map")
            holes = r.varint(0, size)
            pieces = self.nodes(MAP, root, levels - 1)
            need(holes == sum(length for length, id in pieces if not id),
                 "hole bytes")
        need(form == 0 or r.take(2)[0] <= 1, "kind of a map")
        return pieces

    def sha256(self, e):
        h, total, was_hole = hashlib.sha256(), 0, False
        for length, id in e["content"]:
            need(id or not was_hole, "two holes are neighbours")
            data = self.chunk(DATA, id) if id else bytes(length)
            need(len(data) == length, "a chunk's length")
            was_hole, total = not id, total + length
            h.update(data)
        need(total == e["size"], "a file's length")
        return h.hexdigest().encode()

    def entry(self, r, top=False):                                      # 8
        need(len(r.data) <= 8 * MIB, "a long entry")
        e = {"name": r.string(0, 255), "type": r.take(1)[0],
             "flags": r.varint(0, 255), "mode": r.varint(0, 0o7777)}
        name, kind, flags = e["name"], e["type"], e["flags"]
        need((name == b"") == top and name not in (b".", b"..") and
             not set(name) & set(b"/\0"), "name")
        need(1 <= kind <= 7 and (kind == 2 or not top) and
             not flags & (16 if kind == 2 else 8), "type or flags")
        e["uid"], e["gid"] = r.varint(0, 2**32 - 1), r.varint(0, 2**32 - 1)
        e["mtime"] = [r.time() for _ in ("mca" if not flags & 64 else "mcab")]
        e["link"] = r.varint(), r.varint(), r.varint(2) if flags & 16 else 1
        e["size"] = r.varint(0, 2**63 - 1) if kind == 1 else 0
        e["inode flags"] = r.varint(0, 2**32 - 1) if flags & 128 else 0
        for n in range(r.varint(1, 4096) if flags & 32 else 0):
            xattr, place = r.string(1, 255), r.take(1)[0]
            need((n == 0 or last < xattr) and place <= 1, "xattr")
            last, length = xattr, r.varint(4097 * place, 16 * MIB)
            value = self.chunk(DATA, r.take(32)) if place else r.take(length)
            need(len(value) == length <= (16 * MIB if place else 4096), "xattr")
        e["target"] = r.string(1, 65536) if kind == 3 else b"-"
        for _ in range(2 if kind in (4, 5) else 0):     # major, minor
            r.varint(0, 2**32 - 1)
        if kind == 1 and not flags & 4:
            e["content"] = self.content(r, e["size"])
        e["inodes"], e["tree flags"] = 1, (flags & 32) >> 5
        if kind == 2:
            e["tree"], n = r.take(32), r.varint()
            e["counts"] = [n, r.varint(0, n), 1 + r.varint(n, 2**39 - 2)]
            e["inodes"], below = e["counts"][2], r.take(1)[0]
            need(below <= (n > 0), "tree flags")
            e["tree flags"] |= below
        r.end()
        return e

    def walk(self, e, path=b""):                                        # 8
        yield path or b"/", e
        below = self.nodes(TREE, e["tree"]) if e["type"] == 2 else []
        names = [child["name"] for child in below]
        need(names == sorted(set(names)), "names are not sorted")
        counts = [len(below), sum(child["type"] == 2 for child in below),
                  1 + sum(child["inodes"] for child in below)]
        need(counts == e.get("counts", counts), "a directory's counts")
        for child in below:
            yield from self.walk(child, path + b"/" + child["name"])

    def record(self, number):                                           # 11
        r = self.sealed("generations/%d" % number, b"asofgen\0", 16 * MIB)
        field, last = {}, 0
        while r.at < len(r.data):
            last = r.varint(last + 1)
            field[last] = Cursor(r.string())
        need({t for t in field if t % 2} == set(range(1, 26, 2)), "fields")
        need(field[1].varint() == number and field[5].take(16) == self.id,
             "it is another's record")
        g = {"root": self.entry(field[15], top=True)}
        for tag, kind in (21, LINKS), (23, LIST):
            id, count = field[tag].take(32), field[tag].varint()
            g[kind] = self.nodes(kind, id) if id != bytes(32) else []
            need(len(g[kind]) == count, "a list of %d" % count)
        for item in map(Cursor, g[LIST]):                               # 12
            item.string(), item.varint(1, 3), item.varint(), item.string()
            item.end()
        return {**g, "counts": [field[25].varint() for _ in range(9)]}


def show(path, e):
    size = b"%d" % e["size"] if e["type"] == 1 else e["target"]
    return b"%c %o %d %d %s %d.%09d0 %s" % (
        b" fdlcbps"[e["type"]], e["mode"], e["uid"], e["gid"], size,
        *e["mtime"][0], path)


def main(words):
    sums = words[:1] == ["--sums"]
    words = words[sums:] or sys.exit(__doc__)
    repository = Repository(words[0])
    g = repository.record(int(words[1]) if words[1:] else max(
        int(f.name) for f in repository.path.glob("generations/[1-9]*")
        if not f.suffix))
    inside = {row[0]: 0 for row in g[LINKS]}
    entries = list(repository.walk(g["root"]))
    for path, e in entries:
        if e["flags"] & 16:
            need(e["link"][:2] in inside, "the link table lacks a file")
            inside[e["link"][:2]] += 1
        if not sums:
            sys.stdout.buffer.write(show(path, e) + b"\0")
        elif "content" in e:
            sys.stdout.buffer.write(b"%s  %s\0" % (repository.sha256(e), path))
    need([row[:2] for row in g[LINKS]] == sorted(inside.items()), "links")
    inodes = len(entries) - sum(inside.values()) + len(inside)
    need(g["counts"][:3] == [len(entries), inodes, sum(
        e["size"] for _, e in entries)], "the record's counts")


if __name__ == "__main__":
    main(sys.argv[1:])
