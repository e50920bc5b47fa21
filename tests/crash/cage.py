"""A cage for tests that write by lot: a mistake in them hurts nothing.

enter() runs the calling script again, in mounts and processes of its own, where
everything is read-only but one fresh directory, and no device can be opened but
those that a mount needs.  All that is done in there ends with it: mounts,
processes and files.  It comes back in there only, and only when the kernel
says that it is so; otherwise the test is skipped, with the reason.

The directory is in memory; with CRASH_ON_DISK=1, below TMPDIR on its disk,
where syncs take their time."""
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile

LIBC = ctypes.CDLL(None, use_errno=True)
DEVICES = ['/dev/null', '/dev/fuse', '/dev/urandom']
SIZE = '3g'                         # of the directory in memory
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND = 2, 4, 8, 4096
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC = 1, 2, 4, 8
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
PR_SET_PDEATHSIG = 1


def skip(why):
    print('1..0 # SKIP ' + why)
    sys.exit(0)


# --- system calls ------------------------------------------------------------

def checked(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, '%s: %s' % (what, os.strerror(number)))


def mount(source, target, kind, flags, data=None):
    checked(LIBC.mount(source.encode(), target.encode(), kind and kind.encode(),
                       ctypes.c_ulong(flags), data and data.encode()),
            'mount ' + target)


def set_attributes(path, on, off, recursive=False):
    words = (ctypes.c_uint64 * 4)(on, off, 0, 0)
    checked(LIBC.syscall(ctypes.c_long(MOUNT_SETATTR), AT_FDCWD, path.encode(),
                         AT_RECURSIVE if recursive else 0, words,
                         ctypes.c_size_t(ctypes.sizeof(words))),
            'mount_setattr ' + path)


# --- building it -------------------------------------------------------------

def spaces():
    """Of mounts and processes: which ones we are in."""
    return ' '.join(os.readlink('/proc/self/ns/' + name)
                    for name in ('mnt', 'pid'))


def is_inside(outer):
    """Are both other ones, where nobody was before us?"""
    return os.getpid() == 1 and os.readlink('/proc/self') == '1' and all(
        a != b for a, b in zip(outer.split(), spaces().split(), strict=True))


def build(top):
    """Only where is_inside: the machine would be read-only."""
    set_attributes('/', ATTR_RDONLY | ATTR_NODEV, 0, recursive=True)
    for device in DEVICES:
        mount(device, device, None, MS_BIND)
        set_attributes(device, 0, ATTR_NODEV)
    if os.environ.get('CRASH_ON_DISK'):
        mount(top, top, None, MS_BIND)
        set_attributes(top, ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC, ATTR_RDONLY)
    else:
        mount('none', top, 'tmpfs', MS_NOSUID | MS_NODEV | MS_NOEXEC,
              'mode=700,size=' + SIZE)


def mounts():
    """(where, options) of each, as the kernel tells."""
    with open('/proc/self/mountinfo', 'rb') as f:
        for line in f:
            words = line.split()
            where = words[4].decode('unicode_escape')
            yield where, words[5].decode().split(',')


def gap(top):
    """Why this is no cage; None if it is one."""
    tops = 0
    for where, options in mounts():
        if where == top:
            tops += 1
            if 'rw' not in options or 'nodev' not in options:
                return '%s is %s' % (where, options)
        elif 'ro' not in options:
            return '%s can be written' % where
        elif 'nodev' not in options and where not in DEVICES:
            return '%s has devices' % where
    if tops != 1:
        return '%s is mounted %d times' % (top, tops)
    for where in ['/', '/etc', '/tmp', '/var/tmp', '/dev/shm', '/proc/sys',
                  os.path.dirname(top), os.environ.get('HOME', '/'),
                  os.path.dirname(os.path.abspath(sys.argv[0]))]:
        if os.access(where, os.W_OK) and not where.startswith(top):
            return '%s can be written' % where
    if os.listdir(top):
        return '%s is not empty' % top
    return None


# --- in and out --------------------------------------------------------------

def outside():
    """Start ourselves inside, and end with that."""
    top = os.path.realpath(tempfile.mkdtemp(prefix='asof-crash.'))

    def end(*_):
        sys.exit(99)
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sig, end)
    inside = None
    try:
        inside = subprocess.Popen(
            UNSHARE + [sys.executable, '-B', os.path.abspath(sys.argv[0])],
            env=dict(os.environ, CRASH_CAGE=top, CRASH_OUTSIDE=spaces()),
            preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        return inside.wait()
    finally:
        if inside is not None and inside.poll() is None:
            inside.kill()
            inside.wait()
        os.rmdir(top)


UNSHARE = ['unshare', '--mount', '--propagation', 'private', '--pid', '--fork',
           '--kill-child', '--mount-proc']


def reap(child):
    """The first process waits for all the others, and ends with this one."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def empty(top):
    for entry in os.scandir(top):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def enter():
    """Comes back inside only; says which directory can be written."""
    top = os.environ.get('CRASH_CAGE')
    if top is None:
        if os.geteuid() != 0:
            skip('needs root')
        if subprocess.run(UNSHARE + ['true'], check=False,
                          stderr=subprocess.DEVNULL).returncode != 0:
            skip('no mounts or processes of our own')
        sys.exit(outside())
    if not is_inside(os.environ.get('CRASH_OUTSIDE', '')):
        skip('no cage: not in mounts and processes of our own')
    try:
        build(top)
    except OSError as e:
        skip('no cage: %s' % e)
    why = gap(top)
    if why is not None:
        skip('no cage: %s' % why)
    child = os.fork()
    if child != 0:
        code = reap(child)
        if os.environ.get('CRASH_ON_DISK'):
            empty(top)
        sys.exit(code if code >= 0 else 99)
    os.chdir(top)
    return top
