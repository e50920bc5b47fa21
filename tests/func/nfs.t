#!/bin/sh
# A mount is exported by NFS, and a handle that a client has is good for as
# long as its generation is there: when the kernel has forgotten the file, and
# when mount and server were started anew.
#
# The server is nfs-ganesha, which runs without the kernel's help and opens
# files by their handles, as knfsd does; the client is nfs4.py.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin root mount umount python3 ganesha.nfsd
can_view || skip_all "no /dev/fuse"
client=$srcdir/tests/func/nfs4.py
port=$(python3 -c '
import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')

# The number of the mount's device, another with every mount, is kept out of the
# handles; knfsd does that with fsid=.
configure() {
	mkdir -p state.nfs && cat >nfs.conf <<EOF
NFS_CORE_PARAM { Protocols = 4; NFS_Port = $port; Bind_addr = 127.0.0.1;
	Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }
NFSv4 { Graceless = true; RecoveryBackend = fs; RecoveryRoot = "$T/state.nfs";
	Only_Numeric_Owners = true; }
EXPORT { Export_Id = 1; Path = "$T/view"; Pseudo = "/view"; Protocols = 4;
	Access_Type = RO; Squash = None; SecType = sys; Filesystem_Id = 7.1;
	FSAL { Name = VFS; fsid_type = None; } }
EOF
}

serve() {
	timeout -s KILL 120 ganesha.nfsd -F -f nfs.conf -L "$T/nfs.log" \
		-p "$T/nfs.pid" -N NIV_EVENT &
	server=$!
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		timeout 5 python3 "$client" "$port" handle view probe \
			2>/dev/null && return 0
		sleep 0.5
	done
	tail -n 5 nfs.log
	return 1
}
no_server() {
	kill -9 "$(cat "$T/nfs.pid")" || kill "$server"
	wait "$server"
}
later no_server

# keep NAME PATH: the handle of what is shown there.
keep() {
	timeout 20 python3 "$client" "$port" handle "view/$2" "$1.handle"
}
reads_as() {
	timeout 20 python3 "$client" "$port" read "$1.handle" >read.got &&
		cmp "$2" read.got
}
lists_as() {
	timeout 20 python3 "$client" "$port" list "$1.handle" | sort >list.got &&
		(cd "$2" && ls -A | sort) | cmp - list.got
}
forget() { sync && echo 3 >/proc/sys/vm/drop_caches; }

make_source() {
	mkdir -p src/a/b && seq 1 400000 >src/a/b/numbers &&
		head -c 3000001 /dev/urandom >src/a/noise && ln src/a/noise src/n &&
		truncate -s 2000000 src/hollow &&
		for i in $(seq 1 200); do echo "$i" >"src/a/b/$i" || return; done
}
keep_all() {
	at=generations/1$T/src
	keep numbers "$at/a/b/numbers" && keep noise "$at/a/noise" &&
		keep linked "$at/n" && keep hollow "$at/hollow" &&
		keep small "$at/a/b/77" && keep dir "$at/a/b"
}
all_is_right() {
	reads_as numbers src/a/b/numbers && reads_as noise src/a/noise &&
		reads_as linked src/n && reads_as hollow src/hollow &&
		reads_as small src/a/b/77 && lists_as dir src/a/b
}

try "a source" make_source
new_repo repo >/dev/null
try "a backup" backup -s nfs "$T/src"
try "the mount answers" view view --cache 16M
try "it is exported" eval 'configure && serve'
try "handles of files and a directory" keep_all
try "what they stand for is the source" all_is_right
try "also when the kernel has forgotten it" eval 'forget && all_is_right'
no_server 2>/dev/null
try "the server is started anew" serve
try "the handles are good" all_is_right
no_server 2>/dev/null
try "the mount is made anew, and exported" \
	eval 'umount view && forget && view view --cache 16M && serve'
try "the handles are still good" all_is_right

# Another generation, and the first is forgotten.
echo more >src/more
try "a second backup" backup -s nfs "$T/src"
try "it is to be seen" eval 'sleep 2; keep more "generations/2$T/src/more" &&
	reads_as more src/more'
try "the first generation is forgotten" asof forget 1
refused() {
	sleep 2
	forget
	must_fail 1 timeout 20 python3 "$client" "$port" read numbers.handle \
		>refused.out && [ ! -s refused.out ]
}
try "its handles are refused" refused
try "and nothing else is" reads_as more src/more
finish
