# What the tests of writers have in common; behind `begin`.

# --- what is asked of a backup ----------------------------------------------------

# of_writers NAME: a number in the last run's --json output; the last of that
# name is what the writers had.
of_writers() { sed -n "s/^ *\"$1\": \([0-9]*\),*$/\1/p" "$T/stdout" | tail -n 1; }

# has NAME VALUE: the writers had so many.
has() {
	[ "$(of_writers "$1")" = "$2" ] && return 0
	echo "$1 is $(of_writers "$1") and not $2"
	return 1
}

# tells PATTERN [GEN]: asof show says it of the writers.
tells() { asof show "${2-latest}" --writers && printed "$1"; }

# --- waiting -------------------------------------------------------------------------

wait_until() { # TIMES COMMAND ...: asked so often, twenty times a second
	times=$1
	shift
	for _ in $(seq "$times"); do
		"$@" && return 0
		sleep 0.05
	done
	return 1
}
soon() { wait_until 100 "$@"; } # COMMAND ...: within a while

# --- control files -------------------------------------------------------------------

# control [OPTION ...]: they are at $C, those of writers at $W, served by $pid.
control() {
	mkfifo "$T/ready" 2>/dev/null
	"$ASOF" control --foreground --ready-fd 9 "$@" \
		9>"$T/ready" >"$T/control.log" 2>&1 &
	pid=$!
	read -r _ <"$T/ready" || return 1
	C=$(cat "$T"/state/*/place)
	W=$C/writers
}

# ends: it has ended by itself, within a while.
ends() {
	for _ in $(seq 200); do
		kill -0 "$pid" 2>/dev/null || { wait "$pid"; return; }
		sleep 0.1
	done
	echo "it goes on"
	return 1
}

stop() { kill -TERM "$pid" && ends; }
