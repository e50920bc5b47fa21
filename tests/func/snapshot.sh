# What the tests of snapshots have in common; behind `begin`: a provider, and
# three writers, a, b and c, whose files are in src/a, src/b and src/c.

. "$srcdir/tests/func/writers.sh"
actor=$(cd "$srcdir" && pwd)/tests/writer/actor

# --- the provider ---------------------------------------------------------------

# A copy stands in for a snapshot.  What p/before and p/after hold is done around
# the copying; p/output is printed instead of the truth.
mkdir p writers.d src src/a src/b src/c outside
cat >provider <<END
#!/bin/sh
exec 3>>$T/p/heard
case \$1 in
prepare)
	while read -r source; do echo "prepare \$source" >&3; done
	[ ! -e $T/p/atomic ] || echo atomic
	;;
create)
	echo create >>$T/events
	[ ! -e $T/p/before ] || . $T/p/before
	while read -r source; do
		echo "create \$source" >&3
		copy=\$(mktemp -d $T/p/snap.XXXXXX)
		cp -a "\$source/." "\$copy/" || exit 1
		[ -e $T/p/output ] || printf '%s\t%s\n' "\$source" "\$copy"
	done
	[ ! -e $T/p/output ] || cat $T/p/output
	[ ! -e $T/p/confirm ] || echo atomic
	[ ! -e $T/p/after ] || . $T/p/after
	;;
destroy)
	echo destroy >>$T/events
	echo destroy >&3
	[ ! -e $T/p/destroy ] || . $T/p/destroy
	while IFS="\$(printf '\t')" read -r source copy; do
		echo "destroy \$source" >&3
	done
	rm -rf $T/p/snap.*
	;;
esac
END
chmod 755 provider

# --- writers -----------------------------------------------------------------------

# writer NAME LEVEL [SCRIPT [DIR]]: SCRIPT is what it does otherwise than well.
writer() {
	{
		echo "name $1"
		echo "log $T/$1.log"
		echo document
		echo "	writer $1 freeze-level=$2"
		echo '	schema incremental differential timestamped'
		echo '	restore-method restore-if-can-replace'
		echo '	component db database selectable=yes'
		echo "	database-files db ${4-$T/src/$1} *"
		echo '	end'
		for on in prepare-backup prepare-snapshot freeze thaw \
			post-snapshot post-copy backup-complete \
			backup-shutdown abort; do
			echo "on $on"
			echo "	run echo '$1 $on' >>$T/events"
			case ${3-} in
			"$on:"*) echo "	${3#*:}" && continue ;;
			esac
			[ $on != prepare-backup ] ||
				echo '	say backup-stamp db s'
			echo '	ok'
		done
	} >"$1.script"
	printf '#!/bin/sh\nexec python3 %s %s/%s.script\n' \
		"$actor" "$T" "$1" >"writers.d/$1"
	chmod 755 "writers.d/$1"
}
three() {
	writer a front-end
	writer b back-end
	writer c system
}
again() {
	rm -rf p/before p/after p/output p/atomic p/confirm p/heard p/snap.*
	rm -f events a.log b.log c.log
	three
}
made() { asof backup --json --snapshot "command:$T/provider" "$@" src; }
made_not() { must_fail "$1" made $2; }
# What happened, apart from prepare-backup: within a level the order is open.
order() {
	printf '%s\n' "$@" >wanted
	grep -v prepare-backup events | cmp - wanted && return 0
	cat events
	return 1
}
heard() { grep -q "$2" "$1.log"; }
deaf() { ! grep -q "$2" "$1.log"; }
# Taken away: the copies are gone and the provider was told.
gone() { grep -q '^destroy$' p/heard && ! ls p | grep '^snap'; }
# Whoever heard freeze heard thaw or abort behind it.
thawed() {
	for w; do
		awk '$1 == "freeze" { f = 1 }
		     $1 == "thaw" || $1 == "abort" { f = 0 }
		     END { exit f }' "$w.log" || return 1
	done
}
generations() {
	asof generations --json && [ "$(grep -c '"generation"' stdout)" = "$1" ]
}
same() {
	rm -rf out
	asof restore latest --to out && diff -r "out$T/src" "$1"
}

export ASOF_REPOSITORY="$T/repo"
for w in a b c; do head -c 100000 /dev/urandom >src/$w/data; done
echo plain >src/file
