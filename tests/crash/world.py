"""What the tests by lot share: TAP, the program, trees that change, what there
is to say about a tree, and files that rot.

Whoever imports it is in the cage (cage.py).  All that writes goes from
directory to directory by descriptors and follows no link, opens nothing but
regular files, and does not wait for anybody; and no link that is made leads
anywhere outside its tree.  What goes wrong is said: no error is passed over but
those that say that a thing is not there any more."""
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import select
import shutil
import stat
import struct
import subprocess
import sys
import time
import traceback

import cage

LIMIT = 60      # seconds that one run may take
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
REGULAR = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Failed(Exception):
    """What a test found wrong, in a sentence."""


class Tap:
    def __init__(self):
        self.tests = self.bad = 0

    def attempt(self, text, function, *args):
        """A test: it passes unless it raises; its result is told behind it."""
        self.tests += 1
        try:
            more, why = function(*args), None
        except Failed as e:
            more, why = None, str(e)
        except Exception:
            more, why = None, traceback.format_exc()
        self.bad += why is not None
        print('%s %d - %s%s' % ('ok' if why is None else 'not ok', self.tests,
                                text, ': ' + more if more else ''))
        for line in (why or '').splitlines()[:40]:
            line = line.encode('ascii', 'backslashreplace').decode()
            print('# ' + line[:2000])
        sys.stdout.flush()
        return why is None

    def finish(self):
        print('1..%d' % self.tests, flush=True)
        return 1 if self.bad > 0 else 0


def number(name, otherwise):
    return int(os.environ.get(name) or otherwise)


def seed_from(name):
    seed = int(os.environ.get(name) or time.time())
    print('# seed %d (%s=%d repeats it)' % (seed, name, seed), flush=True)
    return seed


# --- the program -------------------------------------------------------------

# Of the working directory before the cage.
HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.abspath(os.environ.get('ASOF') or os.path.join(
    os.environ.get('builddir') or HERE + '/../../build', 'asof'))


def need(*tools):
    if not os.access(PROGRAM, os.X_OK):
        cage.skip('there is no ' + PROGRAM)
    for tool in tools:
        if shutil.which(tool) is None:
            cage.skip('needs ' + tool)


class Asof:
    """The program, with a repository and a cache below one directory."""

    def __init__(self, top):
        self.program = PROGRAM
        self.repo, self.cache, self.view = (
            top + '/' + name for name in ('repo', 'cache', 'view'))
        self.env = dict(os.environ, ASOF_REPOSITORY=self.repo,
                        ASOF_CACHE_DIR=self.cache,
                        ASOF_STATE_DIR=self.cache + "-state",
                        ASOF_RUN_DIR=self.cache + "-run",
                        ASOF_WRITERS_D=self.cache + "-none")

    def start(self, *words, **more):
        return subprocess.Popen([self.program, *words], env=self.env,
                                stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True,
                                errors='surrogateescape', **more)

    def end(self, process):
        """(exit code, output, messages); one that hangs is killed."""
        try:
            out, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failed('%s hangs' % process.args) from None
        return process.returncode, out, err

    def run(self, *words, codes=(0,)):
        code, out, err = self.end(self.start(*words))
        if code not in codes:
            raise Failed('%s: exit code %d\n%s' % (words, code, err[-3000:]))
        return code, out, err

    def backup(self, *words):
        """The new generation's number."""
        return json.loads(self.run('backup', '--json', *words)[1])['generation']

    def generations(self):
        return json.loads(self.run('generations', '--json')[1])

    def mount(self, *words):
        """All generations, in the foreground; the process, once it answers."""
        os.makedirs(self.view, exist_ok=True)
        ready, told = os.pipe()
        process = self.start('mount', '-f', '--ready-fd', str(told), *words,
                             self.view, pass_fds=[told])
        os.close(told)
        try:
            answered = select.select([ready], [], [], LIMIT)[0]
            if not answered or os.read(ready, 1) != b'\n':
                process.kill()
                raise Failed('it does not mount: %s' % self.end(process)[2])
        finally:
            os.close(ready)
        return process

    def unmount(self, process):
        """Its messages."""
        process.terminate()
        code, _, err = self.end(process)
        if code != 0:
            raise Failed('a mount ends with %d: %s' % (code, err))
        return err


def processes():
    """{pid: (parent, name)} of all that live but the first and ourselves."""
    found = {}
    for name in os.listdir('/proc'):
        if not name.isdigit() or int(name) in (1, os.getpid()):
            continue
        try:
            with open('/proc/%s/stat' % name, encoding='ascii') as f:
                text = f.read()
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, parent = text[text.rindex(')') + 2:].split()[:2]
        if state not in 'ZX':
            comm = text[text.index('(') + 1:text.rindex(')')]
            found[int(name)] = (int(parent), comm)
    return found


def nothing_is_left(asof):
    """No process and no mount, before long, and no lock, at once then."""
    until = time.monotonic() + 15
    while True:
        views = [w for w, _ in cage.mounts() if w.startswith(asof.view)]
        if not views and not processes():
            break
        if time.monotonic() > until:
            raise Failed('left are %s, mounted: %s' % (processes(), views))
        time.sleep(.005)
    if os.path.isdir(asof.view) and os.listdir(asof.view):
        raise Failed('%s is not empty' % asof.view)
    for entry in os.scandir(asof.repo + '/sessions'):
        if is_locked(entry.path):
            raise Failed('%s is locked' % entry.name)


def is_locked(path):
    with regular(path, os.O_RDONLY) as fd:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


# --- what there is to say about a tree ---------------------------------------

class Fact:
    NAMES = ('kind', 'size', 'content', 'holes', 'mode', 'uid', 'gid', 'mtime',
             'device', 'xattrs', 'links')

    def __init__(self, path):
        st = os.lstat(path)
        self.kind = stat.S_IFMT(st.st_mode)
        self.mode, self.uid, self.gid = st.st_mode, st.st_uid, st.st_gid
        self.mtime, self.device = st.st_mtime_ns, st.st_rdev
        self.size, self.content, self.holes = 0, b'', None
        if self.kind == stat.S_IFREG:
            self.size = st.st_size
            self.content, self.holes = read_file(path)
        elif self.kind == stat.S_IFLNK:
            self.content = os.readlink(path)
        self.xattrs = {name: os.getxattr(path, name, follow_symlinks=False)
                       for name in os.listxattr(path, follow_symlinks=False)}
        self.inode = (st.st_dev, st.st_ino)
        self.links = frozenset()    # all paths of one file, where several

    def differs(self, other, but=()):
        """The first thing in which it does; None: in nothing."""
        for name in self.NAMES:
            if name not in but and getattr(self, name) != getattr(other, name):
                return '%s %.200r instead of %.200r' % (
                    name, getattr(other, name), getattr(self, name))
        return None


def read_file(path):
    """(hash of all bytes, where there are some)."""
    digest, parts, at = hashlib.blake2b(), [], 0
    with regular(path, os.O_RDONLY) as fd:
        while data := os.read(fd, 1 << 20):
            digest.update(data)
        with contextlib.suppress(LookupError):
            while True:
                start = seek(fd, at, os.SEEK_DATA)
                at = seek(fd, start, os.SEEK_HOLE)
                parts.append((start, at))
    return digest.hexdigest(), parts


def seek(fd, at, how):
    try:
        return os.lseek(fd, at, how)
    except OSError as e:
        if e.errno == errno.ENXIO:
            raise LookupError from None     # there is no more
        raise


def facts(top, errors=None):
    """{path: Fact}, '.' being the top.  What cannot be read raises, or goes
    into errors, {path: OSError}."""
    found, names = {}, {}
    todo = ['.']
    while todo:
        path = todo.pop()
        try:
            fact = found[path] = Fact(top + '/' + path)
            if fact.kind == stat.S_IFDIR:
                # Not os.walk: it passes over what cannot be listed.
                with os.scandir(top + '/' + path) as entries:
                    todo += [path + '/' + entry.name for entry in entries]
            else:
                names.setdefault(fact.inode, []).append(path)
        except OSError as e:
            if errors is None:
                raise
            errors[path] = e
    for paths in names.values():
        for path in paths if len(paths) > 1 else ():
            found[path].links = frozenset(paths)
    return found


def must_be_same(want, got, what):
    for path in sorted(set(want) | set(got)):
        if path not in got or path not in want:
            raise Failed('%s: %r is %s' % (what, path, 'missing' if path in
                                           want else 'nothing of ours'))
        why = want[path].differs(got[path])
        if why is not None:
            raise Failed('%s: %r has %s' % (what, path, why))


def must_be_same_to_rsync(a, b, what):
    """rsync would find nothing to do."""
    done = subprocess.run(['rsync', '-n', '-aHAXS', '--checksum', '--delete',
                           '--itemize-changes', '--numeric-ids', '--devices',
                           '--specials', a + '/', b + '/'],
                          capture_output=True, text=True, errors='replace',
                          timeout=LIMIT, check=False)
    if done.returncode != 0 or done.stdout or done.stderr:
        raise Failed('%s: rsync ended with %d, and would do\n%s%s'
                     % (what, done.returncode, done.stdout[:2000],
                        done.stderr[:500]))


def copy(a, b):
    """b is not there yet."""
    if os.path.lexists(b):
        raise Failed('%s is there already' % b)
    subprocess.run(['cp', '-a', a, b], check=True, timeout=LIMIT)


# --- writing safely ----------------------------------------------------------

@contextlib.contextmanager
def directory(top, names):
    """A descriptor of what these names lead to below `top`, through no link."""
    fd = os.open(top, DIRECTORY)
    try:
        for name in names:
            inner = os.open(name, DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def regular(name, flags, dir_fd=None):
    """A descriptor of a regular file, never of anything else."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(name, dir_fd=dir_fd).st_mode):
            raise OSError(errno.ESTALE, 'no regular file', name)
    fd = os.open(name, flags | REGULAR, 0o644, dir_fd=dir_fd)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.ESTALE, 'no regular file', name)
        yield fd
    finally:
        os.close(fd)


def write_at(fd, data, at):
    while data:
        done = os.pwrite(fd, data, at)
        data, at = data[done:], at + done


def remove(name, dir_fd):
    """Whatever it is; shutil.rmtree goes by descriptors, too."""
    if stat.S_ISDIR(os.lstat(name, dir_fd=dir_fd).st_mode):
        shutil.rmtree(name, dir_fd=dir_fd)
    else:
        os.unlink(name, dir_fd=dir_fd)


def acl(dice, named):
    """As the kernel wants it (linux/posix_acl_xattr.h)."""
    perm = [dice.randrange(8) for _ in range(5)]
    none = 0xffffffff
    entries = [(1, perm[0], none)]
    entries += [(2, perm[1], user) for user in sorted(named)]
    entries += [(4, perm[2], none), (16, perm[3], none), (32, perm[4], none)]
    return struct.pack('<I', 2) + b''.join(
        struct.pack('<HHI', *entry) for entry in entries)


# --- a tree that changes -----------------------------------------------------

# What a change finds when the thing it is for is gone, or is another one now,
# or has no room for another attribute.
GONE = {errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP,
        errno.EISDIR, errno.ESTALE, errno.ENODATA, errno.ENXIO, errno.ENOSPC}


class Tree:
    """Below `top`, changed step by step.  A path is a tuple of names."""

    NAMES = ['a', 'b', 'c', 'A', 'z', 'a.txt', 'lib', 'x y', '\u00e4', '.h',
             '-r', 'f\n', '\udcff', 'long' * 20, 'n%d', 'm%d', 'k%d']
    # Around a page, a chunk's least, middle and most, and 128 KiB.
    SIZES = [0, 1, 7, 100, 4095, 4096, 4097, 8191, 8192, 8193, 16384, 24575,
             24576, 24577, 32768, 65536, 131071, 131072, 131073, 200000]
    TIMES = [0, -1, -5 * 10**8, 1, 10**9, 2**31 - 1, 2**31, 2**32, 2**33]
    # Nothing that is there, or names of this tree.
    TARGETS = ['a', 'b', 'n1', 'lib/a', '../a', '../lib/n2', 'gone',
               '/nonexistent-asof/at/all', 'l' * 255, 'd/' * 1000 + 'e']

    def __init__(self, top, dice, largest):
        self.top, self.dice, self.largest = top, dice, largest
        os.mkdir(top)
        often = [self.new_file] * 4 + [self.write] * 3 + [self.hard_link] * 2
        self.changes = often + [
            self.new_dir, self.new_dir, self.new_symlink, self.new_special,
            self.rename, self.rename_over, self.unlink, self.cut, self.append,
            self.secret_write, self.other_kind, self.other_kind_dir, self.chmod,
            self.chown, self.xattr, self.acls, self.times, self.times,
            self.replace_with_times, self.punch]
        if not self.takes_attributes():
            print('# no user attributes on this file system')
            self.changes.remove(self.xattr)
        self.look()

    def takes_attributes(self):
        with directory(self.top, ()) as fd:
            try:
                os.setxattr(fd, 'user.a', b'')
            except OSError as e:
                if e.errno == errno.ENOTSUP:
                    return False
                raise
        return True

    def look(self):
        self.dirs, self.files, self.others = [()], [], []
        todo = [()]
        while todo:
            path = todo.pop()
            with directory(self.top, path) as fd, os.scandir(fd) as entries:
                found = sorted((e.name, e.is_dir(follow_symlinks=False),
                                e.is_file(follow_symlinks=False))
                               for e in entries)
            for name, is_dir, is_file in found:
                (self.dirs if is_dir else self.files if is_file else
                 self.others).append(path + (name,))
                if is_dir:
                    todo.append(path + (name,))

    def change(self, times):
        for i in range(times):
            try:
                self.dice.choice(self.changes)()
            except OSError as e:
                if e.errno not in GONE:
                    raise
            if i % 40 == 39:
                self.look()
        self.look()

    # --- which ---

    @contextlib.contextmanager
    def place(self, path):
        """(descriptor of the directory, name)."""
        with directory(self.top, path[:-1]) as fd:
            yield fd, path[-1]

    def pick(self, some):
        if not some:
            raise FileNotFoundError(errno.ENOENT, 'there is none')
        return self.dice.choice(some)

    def a_file(self):
        return self.pick(self.files)

    def new_path(self):
        name = self.dice.choice(self.NAMES)
        if '%' in name:
            name %= self.dice.randrange(30)
        base = self.dice.choice(self.dirs)
        if len(base) > 12:
            base = base[:self.dice.randrange(5)]
        return base + (name,)

    @contextlib.contextmanager
    def opened(self, path, flags=os.O_RDWR):
        with self.place(path) as (fd, name):
            with regular(name, flags, dir_fd=fd) as file:
                yield file

    # --- bytes ---

    def bytes(self, size):
        kind = self.dice.random()
        if kind < .2:
            return bytes([self.dice.randrange(256)]) * size
        if kind < .4:
            return (b'%d lines of text\n' % self.dice.randrange(99) *
                    (size // 15 + 1))[:size]
        if kind < .5:       # for what is found a second time
            return self.dice.__class__(self.dice.randrange(5)).randbytes(size)
        return self.dice.randbytes(size)

    def a_size(self):
        if self.dice.random() < .04:
            return self.dice.randrange(1, self.largest)
        return self.dice.choice(self.SIZES + [self.dice.randrange(40000)] * 9)

    def fill(self, fd):
        if self.dice.random() < .15:
            size = self.a_size() + self.dice.randrange(self.largest)
            os.ftruncate(fd, size)
            for _ in range(self.dice.randrange(5)):
                self.poke(fd, size, 9000)
        else:
            write_at(fd, self.bytes(self.a_size()), 0)

    def poke(self, fd, size, most):
        at = self.dice.randrange(size + 1)
        write_at(fd, self.dice.randbytes(self.dice.randrange(most))[:size - at],
                 at)

    def new_file(self):
        path = self.new_path()
        with self.opened(path, os.O_RDWR | os.O_CREAT | os.O_EXCL) as fd:
            self.fill(fd)
        self.files.append(path)

    def write(self):
        with self.opened(self.a_file()) as fd:
            self.poke(fd, os.fstat(fd).st_size, 5000)

    def append(self):
        with self.opened(self.a_file()) as fd:
            write_at(fd, self.bytes(self.dice.randrange(1, 9000)),
                     os.fstat(fd).st_size)

    def cut(self):
        with self.opened(self.a_file()) as fd:
            size = os.fstat(fd).st_size
            os.ftruncate(fd, self.dice.choice([self.dice.randrange(size + 1),
                                               size + 1, size + 70000]))

    def punch(self):
        """A part of it becomes a hole."""
        with self.opened(self.a_file()) as fd:
            size = os.fstat(fd).st_size
            keep = self.dice.randrange(size + 1)
            os.ftruncate(fd, keep)
            os.ftruncate(fd, size)

    def secret_write(self):
        """One byte, and the size and the times are what they were."""
        with self.opened(self.a_file()) as fd:
            st = os.fstat(fd)
            self.poke(fd, st.st_size, 2)
            os.utime(fd, ns=(st.st_atime_ns, st.st_mtime_ns))

    def replace_with_times(self):
        """As careful programs write, but with size and times of the old one."""
        path = self.a_file()
        new = path[:-1] + ('.new',)
        with self.opened(path) as old:
            st = os.fstat(old)
        with self.opened(new, os.O_RDWR | os.O_CREAT | os.O_EXCL) as fd:
            write_at(fd, self.bytes(min(st.st_size, self.largest)), 0)
            os.utime(fd, ns=(st.st_atime_ns, st.st_mtime_ns))
        self.move(new, path)

    # --- names ---

    def new_dir(self):
        path = self.new_path()
        with self.place(path) as (fd, name):
            os.mkdir(name, dir_fd=fd)
        self.dirs.append(path)

    def new_symlink(self):
        with self.place(self.new_path()) as (fd, name):
            os.symlink(self.dice.choice(self.TARGETS), name, dir_fd=fd)

    def new_special(self):
        with self.place(self.new_path()) as (fd, name):
            if self.dice.random() < .5:
                os.mkfifo(name, 0o640, dir_fd=fd)
            else:           # a major number that no driver has
                os.mknod(name, 0o600 | stat.S_IFCHR,
                         os.makedev(42, self.dice.randrange(300)), dir_fd=fd)

    def hard_link(self):
        old, new = self.a_file(), self.new_path()
        with self.place(old) as (a, old_name), self.place(new) as (b, new_name):
            if stat.S_ISDIR(os.lstat(old_name, dir_fd=a).st_mode):
                return      # meanwhile
            os.link(old_name, new_name, src_dir_fd=a, dst_dir_fd=b,
                    follow_symlinks=False)
        self.files.append(new)

    def move(self, old, new):
        with self.place(old) as (a, old_name), self.place(new) as (b, new_name):
            os.rename(old_name, new_name, src_dir_fd=a, dst_dir_fd=b)

    def rename(self):
        old = self.pick(self.files + self.dirs[1:] + self.others)
        new = self.new_path()
        if new[:len(old)] != old:
            self.move(old, new)

    def rename_over(self):
        self.move(self.a_file(), self.a_file())

    def unlink(self):
        with self.place(self.pick(self.files + self.others)) as (fd, name):
            remove(name, fd)

    def other_kind(self):
        """A file becomes a directory."""
        path = self.a_file()
        with self.place(path) as (fd, name):
            os.unlink(name, dir_fd=fd)
            os.mkdir(name, dir_fd=fd)
        with self.opened(path + ('in',),
                         os.O_RDWR | os.O_CREAT | os.O_EXCL) as fd:
            self.fill(fd)

    def other_kind_dir(self):
        """A directory becomes something else, all of it."""
        if self.dice.random() < .6:
            return
        path = self.pick(self.dirs[1:])
        with self.place(path) as (fd, name):
            remove(name, fd)
            if self.dice.random() < .5:
                os.symlink('gone', name, dir_fd=fd)
                return
        with self.opened(path, os.O_RDWR | os.O_CREAT | os.O_EXCL) as fd:
            self.fill(fd)

    # --- and the rest ---

    @contextlib.contextmanager
    def any_opened(self):
        """A file or a directory, to be read."""
        if self.dice.random() < .3:
            with directory(self.top, self.dice.choice(self.dirs)) as fd:
                yield fd
        else:
            with self.opened(self.a_file(), os.O_RDONLY) as fd:
                yield fd

    def chmod(self):
        with self.any_opened() as fd:
            os.fchmod(fd, self.dice.choice([0o644, 0o755, 0o600, 0o4755, 0o1777,
                                            0o2711, 0o700, 0o000]))

    def chown(self):
        with self.place(self.pick(self.files + self.dirs[1:] +
                                  self.others)) as (fd, name):
            os.chown(name, self.dice.choice([0, 1, 65534, 4000000]),
                     self.dice.randrange(70000), dir_fd=fd,
                     follow_symlinks=False)

    def xattr(self):
        with self.any_opened() as fd:
            name = 'user.' + self.dice.choice(['a', 'b', 'name of it'])
            if self.dice.random() < .3:
                os.removexattr(fd, name)
            else:
                os.setxattr(fd, name, self.bytes(
                    self.dice.choice([0, 1, 100, 3000])))

    def acls(self):
        with self.any_opened() as fd:
            name = 'system.posix_acl_access'
            if stat.S_ISDIR(os.fstat(fd).st_mode) and self.dice.random() < .5:
                name = 'system.posix_acl_default'
            if self.dice.random() < .3:
                os.removexattr(fd, name)
            else:
                os.setxattr(fd, name, acl(self.dice, self.dice.sample(
                    [1, 7, 1000, 70000], self.dice.randrange(1, 4))))

    def times(self):
        seconds = self.dice.choice(self.TIMES)
        ns = seconds * 10**9 + self.dice.choice([0, 1, 999999999, 123456789])
        with self.place(self.pick(self.files + self.dirs[1:] +
                                  self.others)) as (fd, name):
            os.utime(name, ns=(ns, ns), dir_fd=fd, follow_symlinks=False)


# --- what rots ---------------------------------------------------------------

def flip(path, dice):
    """One bit, or some bytes in a row.  Not a word of what was there before."""
    with regular(path, os.O_RDWR) as fd:
        at = dice.randrange(os.fstat(fd).st_size)
        old = os.pread(fd, 1 if dice.random() < .7 else 600, at)
        new = bytearray(dice.randbytes(len(old)) if len(old) > 1 else old)
        new[0] = old[0] ^ 1 << dice.randrange(8)
        write_at(fd, bytes(new), at)


def spoil_cache(asof, dice):
    """What may become of a cache between two runs."""
    kept, kind = asof.cache + '-kept', dice.randrange(7)
    if not os.path.isdir(asof.cache):
        return
    if kind == 0:
        shutil.rmtree(asof.cache)
    elif kind == 1:
        if os.path.exists(kept):
            shutil.rmtree(kept)
        copy(asof.cache, kept)
    elif kind == 2 and os.path.exists(kept):
        shutil.rmtree(asof.cache)
        copy(kept, asof.cache)
    elif kind == 3:
        for path in dice.sample(files := files_below(asof.cache),
                                min(len(files), 2)):
            if dice.random() < .7:
                flip(path, dice)
            else:
                with regular(path, os.O_RDWR) as fd:
                    os.ftruncate(fd, dice.randrange(os.fstat(fd).st_size))


def files_below(top):
    """Those with a byte in them."""
    return sorted(top + path[1:] for path, fact in facts(top).items()
                  if fact.kind == stat.S_IFREG and fact.size > 0)
