#!/bin/sh
# The tools that people use see in a mount what they see in the source, and
# what they copy out of it is the source again.
#
# TOOLS_NAMES says how many entries the largest directory has (100,000).
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
: "${TOOLS_NAMES:=100000}"
LIMIT=$((60 + TOOLS_NAMES / 5000))
begin root mount umount rsync tar find sha256sum setfattr getfattr setfacl \
	setcap getcap python3 "${CC:-cc}"
can_view || skip_all "no /dev/fuse"
helper facts
helper readcheck
readcheck=$helper

# --- the source -----------------------------------------------------------------

make_source() {
	mkdir -p src/a/b/c src/many src/acl src/empty && (
		cd src || exit 1
		echo one >a/one
		head -c 300001 /dev/urandom >a/b/random
		seq 1 200000 >a/b/c/numbers
		ln a/one a/b/one-too
		ln a/one one-more
		ln -s a/one link && ln -s ../none a/dangling && ln -s a/b dirlink
		for i in $(seq 1 300); do
			echo "needle $((i % 7)) in $i" >"many/file $i"
		done
		truncate -s 5000000 sparse
		for at in 3 40 900; do
			dd if=/dev/urandom of=sparse bs=4k count=3 \
				seek="$at" conv=notrunc
		done
		truncate -s 3000000 hollow
		mkfifo fifo && mknod null c 1 3
		printf x >"$(printf 'a new\nline, \\ and \377')"
		chown 1234:4321 a/b/random && chmod 4711 a/b/c/numbers
		chmod 1777 empty && touch -d '1999-12-31 23:59:59.5' a/one
		touch -d '2001-02-03 04:05:06.789012345' a/b
		cp /bin/true acl/capable && setcap cap_net_raw+ep acl/capable
		echo x >acl/file && setfacl -m u:99:rw,g:77:r acl/file
		setfacl -d -m u:99:rx acl
		setfattr -n user.one -v 1 a/one
		setfattr -n user.binary -v 0x00ff0a00 acl/file
		setfattr -n user.of.a.directory -v x many
		setfattr -n trusted.secret -v 1 a/b/random
	) 2>try.err && sync -f src
}

make_databases() {
	if command -v sqlite3 >/dev/null; then
		sqlite3 src/plain.db "create table t (n integer, s text);
			with recursive c(n) as (select 1 union all
			select n + 1 from c where n < 20000)
			insert into t select n, 'row ' || n from c;" &&
			cp src/plain.db src/wal.db &&
			sqlite3 src/wal.db "pragma journal_mode = wal;" || return
	fi
	command -v git >/dev/null || return 0
	(
		export HOME="$T" GIT_CONFIG_NOSYSTEM=1
		git init -q src/work && cd src/work || exit
		git config user.name T && git config user.email t@example.org
		cp -r ../many ../a/one . && git add -A && git commit -qm first &&
			echo more >>one && git commit -qam second &&
			git gc -q && echo third >>one && git commit -qam third
	)
}

# --- looking ----------------------------------------------------------------------

# same_by COMMAND...: says the same in the source and in the view.
same_by() {
	(cd src && "$@") >"$T/said.a" 2>"$T/said.err" ||
		echo "exit $?" >>"$T/said.a"
	(cd "$shown" && "$@") >"$T/said.b" 2>&1 || echo "exit $?" >>"$T/said.b"
	[ -s "$T/said.a" ] && same_facts "$T/said.a" "$T/said.b"
}

# What nobody can compare: numbers of inodes, blocks, sizes of directories.
listed() {
	ls -lAR --time-style=full-iso --quoting-style=c . |
		awk '/^total/ { next } /^d/ { $5 = "-" } { print }'
}
found() {
	find . -type d -printf \
		'%P|%f|%y|%Y|%M|%m|%n|%u|%g|%U|%G|%T@|%C@|%d\0' -o -printf \
		'%P|%f|%y|%Y|%M|%m|%n|%u|%g|%U|%G|%T@|%C@|%d|%s|%l\0' | sort -z
}
found_ls() {
	find . -ls | awk '{ $1 = $2 = "" } $3 ~ /^d/ { $7 = "-" } { print }' |
		sort
}
attributes() { find . ! -type l -exec getfattr -d -m - -e hex {} + | sort; }
lists() { find . ! -type l -print0 | sort -z | xargs -0 getfacl -n; }
capable() { getcap -r . | sort; }
needles() { grep -r "needle 3" . | sort; }
apparent() {
	find . -type f -print0 | sort -z |
		du --apparent-size -B1 --files0-from=- -c
}
# Blocks are those of the data: no more than the source has, no fewer than
# its bytes ask for.
blocks_make_sense() {
	[ "$(du -s -B512 "$shown" | cut -f1)" -le \
		"$(du -s -B512 src | cut -f1)" ] &&
		[ "$(stat -c %b "$shown/hollow")" -eq 0 ] &&
		[ "$(stat -c %b "$shown/sparse")" -eq $((9 * 8)) ] &&
		[ "$(stat -c %b "$shown/a/b/random")" -eq 586 ]
}

sums() {
	(cd src && find . -type f -exec sha256sum {} +) >"$T/sums" &&
		(cd "$shown" && sha256sum --quiet -c "$T/sums")
}

# --- copying ----------------------------------------------------------------------

# copies OPTIONS COMMAND...: the copy it makes in $T/copy is the source again,
# as facts.c says with OPTIONS.
copies() {
	options=$1
	shift
	rm -rf copy && mkdir copy && "$@" || return 1
	# shellcheck disable=SC2086
	facts src copied.a $options && facts copy copied.b $options &&
		same_facts copied.a copied.b
}
by_tar() {
	tar -C "$shown" --xattrs --xattrs-include='*' --acls --sparse \
		--numeric-owner -cf tree.tar . &&
		tar -C copy --xattrs --xattrs-include='*' --acls \
			--numeric-owner -xpf tree.tar
}
diff_finds_nothing() {
	diff -r --no-dereference -x fifo -x null src "$shown"
}

# --- programs ---------------------------------------------------------------------

ask="select count(*), sum(n), max(s) from t; pragma integrity_check;"
answer="20000|200010000|row 9999
ok"
# database FILE HOW
database() {
	got=$(timeout 30 sqlite3 "file:$T/$shown/$1?$2" "$ask") &&
		echo "$got" && [ "$got" = "$answer" ]
}
in_work() {
	(
		export HOME="$T" GIT_CONFIG_NOSYSTEM=1
		cd "$shown/work" && timeout "$LIMIT" git "$@"
	)
}
git_is_clean() { [ -z "$(in_work status --porcelain)" ]; }
git_has_history() {
	[ "$(in_work log --format=%s | tr '\n' ' ')" = "third second first " ] &&
		in_work fsck --full --strict
}

# Follows a file that never grows, until it is told to end.
follows() {
	timeout 1 tail -n +1 "$@" -f "$shown/a/b/c/numbers" >followed
	[ $? -eq 124 ] && cmp followed src/a/b/c/numbers
}
watches() {
	python3 - "$T/$shown" "$T/view" <<'PY'
import ctypes, os, sys
c = ctypes.CDLL(None, use_errno=True)
fd = c.inotify_init1(os.O_NONBLOCK)
assert fd >= 0
for at in sys.argv[1], sys.argv[1] + "/a/one", sys.argv[2], \
        sys.argv[2] + "/generations":
    if c.inotify_add_watch(fd, os.fsencode(at), 0xfff) < 0:
        sys.exit(f"{at}: {os.strerror(ctypes.get_errno())}")
open(sys.argv[1] + "/a/one").read()
assert len(os.read(fd, 4096)) > 0
PY
}
locks() {
	flock -s "$shown/a/one" flock -s -n "$shown/a/one" true &&
		python3 - "$shown/a/one" <<'PY'
import fcntl, sys
fcntl.lockf(open(sys.argv[1]), fcntl.LOCK_SH | fcntl.LOCK_NB)
PY
}
pages() { less "$shown/a/b/c/numbers" </dev/null | cmp - src/a/b/c/numbers; }

# A file system inside a file inside a file system.
image_mounts() {
	mkdir -p inner && mount -o ro,loop,noload "$shown/image" inner &&
		cmp inner/inside src/a/one
	image_code=$?
	umount inner
	return "$image_code"
}
overlay_writes() {
	mkdir -p over && mount -t tmpfs none over &&
		mkdir over/up over/work over/all &&
		mount -t overlay -o \
			"lowerdir=$shown,upperdir=over/up,workdir=over/work" \
			none over/all || return 1
	echo changed >>over/all/a/one && rm over/all/link &&
		grep -q changed over/all/a/one && cmp src/a/one "$shown/a/one" &&
		[ -L "$shown/link" ]
	overlay_code=$?
	umount over/all
	umount over
	return "$overlay_code"
}

# --- numbers ----------------------------------------------------------------------

numbers() { (cd "$1" && find . -printf '%i %p\0' | sort -z); }

same_numbers() {
	numbers "$1" >numbers.a && numbers "$2" >numbers.b &&
		[ -s numbers.a ] && cmp numbers.a numbers.b
}

# Two names have one number only if they are links of one file.
numbers_are_unique() {
	{
		find "$1" -type d -printf '%i\n'
		find "$1" ! -type d -links 1 -printf '%i\n'
		find "$1" ! -type d -links +1 -printf '%i\n' | sort -u
	} | sort | uniq -d >numbers.twice
	[ ! -s numbers.twice ] && return 0
	head numbers.twice
	return 1
}
# By number, find finds the three names of the linked file and no others.
found_by_number() {
	number=$(stat -c %i "$shown/a/one")
	[ "$(find view/generations -inum "$number" | sort)" = "$(printf \
		"$shown/%s\n" a/b/one-too a/one one-more)" ] &&
		[ "$(stat -c %h "$shown/a/one")" -eq 3 ]
}

# From every directory, ".." is the one above, and getcwd is the way there.
up_is_up() {
	python3 - "$T/view" "$1" <<'PY'
import os, sys
top, seen = sys.argv[1], 0
for d, dirs, files in os.walk(sys.argv[2]):
    here = os.path.realpath(d)
    if here != top:
        a, b = os.stat(d + "/.."), os.stat(os.path.dirname(here))
        assert (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino), d
    os.chdir(here)
    assert os.getcwd() == here, (os.getcwd(), here)
    seen += 1
assert seen > 3, seen
PY
}

# save_handles, load_handles MOUNT: of the regular files.
save_handles() {
	mkdir -p handles && rm -f handles/* &&
		find src/a src/sparse src/acl src/many -type f >handled || return
	n=0
	while read -r f; do
		n=$((n + 1))
		[ $((n % 9)) -ne 0 ] && [ "$n" -gt 10 ] && continue
		"$readcheck" save "$shown/${f#src/}" "handles/$n" || return
		printf '%s\n' "$f" >"handles/$n.name"
	done <handled
	[ "$n" -gt 100 ]
}
load_handles() {
	for h in handles/*.name; do
		"$readcheck" load "$1" "${h%.name}" "$(cat "$h")" || return
	done
}
handles_work() { "$readcheck" save "$shown/a/one" probe; }
forget() { sync && echo 3 >/proc/sys/vm/drop_caches; }

totals_are_sane() {
	python3 - "$T/$1" "$2" <<'PY'
import os, sys
s = os.statvfs(sys.argv[1])
assert s.f_flag & os.ST_RDONLY and s.f_namemax == 255
assert s.f_bfree == s.f_bavail == s.f_ffree == s.f_favail == 0
assert s.f_bsize == s.f_frsize == 4096
assert s.f_blocks * s.f_frsize > 8_000_000 and s.f_files > int(sys.argv[2]), s
PY
}

# Eight at once, and the caches go: everyone is told the same.
storm() {
	(cd "$shown" && find . ! -name 'a new*' -print0 | sort -z) >names &&
		(cd src && xargs -0 stat -c '%n %a %u %g %h %F %t %T %Y' \
			<"$T/names") >storm.right
	for i in 1 2 3 4 5 6 7 8; do
		(
			cd "$shown" && for again in 1 2 3 4; do
				xargs -0 -n 50 stat -c \
					'%n %a %u %g %h %F %t %T %Y' \
					<"$T/names" >"$T/storm.$i" &&
					cmp "$T/storm.right" "$T/storm.$i" ||
					exit 1
			done
		) &
		pids="${pids-} $!"
	done
	forget
	sleep 0.2
	forget
	storm_code=0
	for pid in $pids; do wait "$pid" || storm_code=1; done
	return "$storm_code"
}

# --- a large directory ------------------------------------------------------------

make_large() {
	mkdir big && python3 - "$TOOLS_NAMES" <<'PY'
import os, sys
os.chdir("big")
for i in range(int(sys.argv[1])):
    os.mknod("a rather long name, so that it takes room: %d" % i)
PY
}
large_is_all_there() {
	"$readcheck" dir "$large" 300 >large.count &&
		[ "$(cat large.count)" -eq $((TOOLS_NAMES + 2)) ]
}
large_to_many() {
	pids=
	for i in 1 2 3 4; do
		(ls -f "$large" | sort | sha256sum >"large.$i") &
		pids="$pids $!"
	done
	for pid in $pids; do wait "$pid" || return; done
	(ls -f big | sort | sha256sum) >large.right
	for i in 1 2 3 4; do cmp large.right "large.$i" || return; done
}

# --- all of it --------------------------------------------------------------------

try "a source" make_source
try "with databases" make_databases
if command -v mkfs.ext4 >/dev/null; then
	# By way of cp: mkfs leaves blocks that are neither data nor holes.
	truncate -s 4M image && mkdir in && cp src/a/one in/inside &&
		mkfs.ext4 -q -d in image && cp --sparse=always image src/
fi
sync -f src
new_repo repo >/dev/null
try "a backup" backup -s tools "$T/src"
try "the mount answers" view view
shown=view/generations/1$T/src


try "facts.c and rsync see no difference" same_tree src "$shown"
try "ls -laR sees the same" same_by listed
try "find -printf sees the same" same_by found
try "find -ls sees the same" same_by found_ls
try "getfattr sees the same" same_by attributes
try "getfacl sees the same" same_by lists
try "getcap sees the same" same_by capable
try "grep sees the same" same_by needles
try "du --apparent-size sees the same" same_by apparent
try "du sees the blocks of the data" blocks_make_sense
try "sha256sum -c finds every file right" sums
try "diff -r finds nothing" diff_finds_nothing
if command -v less >/dev/null; then
	try "less shows a file" pages
else
	skip "less" "not installed"
fi

# --- copying ----------------------------------------------------------------------

try "cp -a copies it all" copies "" cp -a "$shown/." copy
try "cp --sparse=always copies the content" \
	copies -H cp -a --sparse=always "$shown/." copy
try "cp --sparse=never copies the content" \
	copies -H cp -a --sparse=never "$shown/." copy
try "rsync -aHAXS copies it all" copies -H \
	rsync -aHAXS --numeric-ids "$shown/" copy/
try "tar --xattrs --acls --sparse copies it all" copies -H by_tar

# --- programs ---------------------------------------------------------------------

if command -v sqlite3 >/dev/null; then
	try "sqlite reads a database, immutable" \
		database plain.db "immutable=1"
	try "sqlite reads a database, mode=ro" database plain.db "mode=ro"
	try "sqlite reads one with a log, immutable" \
		database wal.db "immutable=1"
else
	skip "sqlite" "not installed"
fi
if command -v git >/dev/null; then
	try "git status is clean" git_is_clean
	try "git log and fsck find it whole" git_has_history
else
	skip "git" "not installed"
fi
try "tail -f follows a file" follows
try "so it does without inotify" follows ---disable-inotify
try "inotify can watch" watches
try "locks for reading can be had" locks
if [ -e src/image ] && losetup -f >/dev/null 2>&1; then
	try "a file system in it can be mounted" image_mounts
else
	skip "a file system in it can be mounted" "no loop devices"
fi
if grep -q overlay /proc/filesystems; then
	try "it can lie under an overlay" overlay_writes
else
	skip "it can lie under an overlay" "no overlayfs"
fi

# --- numbers ----------------------------------------------------------------------

try "inode numbers are unique" numbers_are_unique view/generations
try "find -inum finds all names of a file, and no other" found_by_number
try "\"..\" is the directory above, everywhere" up_is_up "$T/view"
try "totals are sane" totals_are_sane view 300
try "eight processes that stat are told the same" storm

handles=no
if handles_work 2>try.err; then
	handles=yes
	try "file handles of many files" save_handles
	try "they are good when the kernel has forgotten all" \
		eval 'forget && load_handles view'
else
	skip "file handles" "not to be had"
fi

try "a second mount answers" view second
try "a mount of one tree answers" view tree --at 1
try "and one of one folder" view folder --at "1:$T/src/a"
try "inode numbers are the same in the second mount" \
	same_numbers "$shown" "second/generations/1$T/src"
try "and in that of one tree" same_numbers "$shown" "tree$T/src"
try "and in that of one folder" same_numbers "$shown/a" folder
try "\"..\" of one tree" up_is_up "$T/tree$T"
try "totals of one tree are sane" totals_are_sane tree 300
if [ "$handles" = yes ]; then
	try "file handles are good in another mount" load_handles second
	try "and in one of the tree" load_handles tree
	umount view && view view >/dev/null
	try "and after a new start" load_handles view
fi

# --- a large directory --------------------------------------------------------------

try "a directory of $TOOLS_NAMES names" make_large
try "a backup of it" backup -s large "$T/big"
umount view && view view >/dev/null
large=view/latest$T/big
try "every name is there, and telldir leads back to it" large_is_all_there
try "four that list it see the same" large_to_many
try "its inode numbers are unique" numbers_are_unique "$large"
finish
