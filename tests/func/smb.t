#!/bin/sh
# Samba serves a mount: names in any case, DOS attributes out of the extended
# attribute where it keeps them, sparse files, the symlink `latest`.
. "${srcdir:-$(dirname "$0")/../..}/tests/func/lib.sh"
begin root mount umount python3 setfattr smbd smbclient
can_view || skip_all "no /dev/fuse"
port=$(python3 -c '
import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')

make_source() {
	mkdir -p src/Dir && seq 1 300000 >src/Dir/Numbers.TXT &&
		head -c 3000001 /dev/urandom >src/noise &&
		truncate -s 3000000 src/hollow && echo one >src/Hidden.sys &&
		# Hidden, of the system, to be archived.
		setfattr -n user.DOSATTRIB -v 0x30783236 src/Hidden.sys
}

serve() {
	mkdir smb && cat >smb.conf <<EOF
[global]
	server role = standalone server
	interfaces = lo
	bind interfaces only = yes
	smb ports = $port
	private dir = $T/smb
	lock directory = $T/smb
	state directory = $T/smb
	cache directory = $T/smb
	pid directory = $T/smb
	ncalrpc dir = $T/smb/rpc
	map to guest = Bad User
	guest account = root
	disable netbios = yes
	disable spoolss = yes
[view]
	path = $T/view
	guest ok = yes
	read only = yes
	store dos attributes = yes
	ea support = yes
EOF
	timeout -s KILL 100 smbd -F --no-process-group -s smb.conf \
		--debug-stdout -d 1 >smbd.log 2>&1 &
	server=$!
	for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		ask ls && return 0
		sleep 0.5
	done
	tail -n 5 smbd.log
	return 1
}
no_server() {
	kill "$(cat "$T/smb/smbd.pid")" || kill "$server"
	wait "$server"
}
later no_server

# ask COMMANDS: what smbclient says is in ask.out.
ask() {
	timeout 20 smbclient //127.0.0.1/view -N -p "$port" -s smb.conf \
		-c "$1" >ask.out 2>&1 && return 0
	cat ask.out
	return 1
}
gets() {
	ask "cd generations/1$T/src; get $1 got" && cmp "src/$2" got
}
attributes_are() {
	ask "cd generations/1$T/src; allinfo $1" &&
		contains ask.out "attributes: $2 "
}
link_leads_on() {
	top=${T#/}
	ask "cd latest; ls" && contains ask.out "^  ${top%%/*} "
}
cannot_write() {
	must_fail 1 ask "cd generations/1$T/src; put ask.out new"
}

try "a source" make_source
new_repo repo >/dev/null
try "a backup" backup -s smb "$T/src"
try "the mount answers" view view
try "samba serves it" serve
try "a file" gets noise noise
try "one in the wrong case" gets DIR/numbers.txt Dir/Numbers.TXT
try "one with nothing in it" gets hollow hollow
try "attributes of DOS are those that samba kept" \
	attributes_are Hidden.sys HSA
try "a link leads on" link_leads_on
try "nothing can be put there" cannot_write
finish
