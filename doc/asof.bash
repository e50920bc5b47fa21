# bash completion for asof, made by "asof completion bash"

_asof_files()
{
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
}

_asof_words()
{
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_asof_generations()
{
	echo latest
	asof generations ${repo:+-r "$repo"} 2>/dev/null |
		awk 'NR > 1 { print $1 }'
}

_asof()
{
	local cur=${COMP_WORDS[COMP_CWORD]}
	local prev=${COMP_WORDS[COMP_CWORD-1]}
	local cmd='' repo='' words='' i

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-r|--repository) repo=${COMP_WORDS[++i]} ;;
		-*) ;;
		*) [ -n "$cmd" ] || cmd=${COMP_WORDS[i]} ;;
		esac
	done
	COMPREPLY=()
	case $cmd,$prev in
	,--repository|,-r) _asof_files -d; return ;;
	init,--repository|init,-r)
		_asof_files -d
		return ;;
	backup,--type|backup,-t)
		_asof_words 'full incremental differential log copy'
		return ;;
	backup,--set|backup,-s)
		return ;;
	backup,--exclude|backup,-e)
		return ;;
	backup,--exclude-from|backup,-E)
		_asof_files -f
		return ;;
	backup,--comment|backup,-c)
		return ;;
	backup,--level)
		return ;;
	backup,--threads)
		return ;;
	backup,--readers)
		return ;;
	backup,--writer|backup,-W)
		return ;;
	backup,--unsupported)
		_asof_words 'full skip'
		return ;;
	backup,--writer-failure)
		_asof_words 'skip abort'
		return ;;
	backup,--audit)
		return ;;
	backup,--window)
		return ;;
	backup,--snapshot)
		return ;;
	backup,--repository|backup,-r)
		_asof_files -d
		return ;;
	restore,--to|restore,-t)
		_asof_files -d
		return ;;
	restore,--existing)
		_asof_words 'refuse replace keep'
		return ;;
	restore,--writer)
		return ;;
	restore,--new-target)
		return ;;
	restore,--to-writer)
		return ;;
	restore,--restore-option)
		return ;;
	restore,--threads)
		return ;;
	restore,--repository|restore,-r)
		_asof_files -d
		return ;;
	mount,--at|mount,-a)
		return ;;
	mount,--cache)
		return ;;
	mount,--ready-fd)
		return ;;
	mount,--options|mount,-o)
		return ;;
	mount,--repository|mount,-r)
		_asof_files -d
		return ;;
	control,--dir)
		_asof_files -d
		return ;;
	control,--ready-fd)
		return ;;
	control,--repository|control,-r)
		_asof_files -d
		return ;;
	generations,--set|generations,-s)
		return ;;
	generations,--repository|generations,-r)
		_asof_files -d
		return ;;
	show,--repository|show,-r)
		_asof_files -d
		return ;;
	ls,--repository|ls,-r)
		_asof_files -d
		return ;;
	cat,--repository|cat,-r)
		_asof_files -d
		return ;;
	stats,--repository|stats,-r)
		_asof_files -d
		return ;;
	writer,--grant|writer,-g)
		_asof_files -d
		return ;;
	writer,--service)
		return ;;
	writer,--owner|writer,-o)
		return ;;
	writer,--repository|writer,-r)
		_asof_files -d
		return ;;
	session,--file|session,-f)
		return ;;
	session,--repository|session,-r)
		_asof_files -d
		return ;;
	check,--threads)
		return ;;
	check,--repository|check,-r)
		_asof_files -d
		return ;;
	forget,--repository|forget,-r)
		_asof_files -d
		return ;;
	esac
	if [[ $cur == -* ]]; then
		case $cmd in
		init) words=' --repository --json --quiet --verbose --no-progress --help --version ' ;;
		backup) words=' --type --set --exclude --exclude-from --exclude-caches --exclude-nodump --one-file-system --comment --wait --level --threads --readers --writer --no-writers --unsupported --writer-failure --require-writers --audit --window --snapshot --repository --json --quiet --verbose --no-progress --help --version ' ;;
		restore) words=' --to --existing --in-place --writer --new-target --to-writer --restore-option --additional-restores --ranges-only --dry-run --numeric-ids --no-owner --sync --verify --threads --repository --json --quiet --verbose --no-progress --help --version ' ;;
		mount) words=' --at --foreground --allow-other --nonempty --cache --no-sandbox --no-control --ready-fd --options --stats --repository --json --quiet --verbose --no-progress --help --version ' ;;
		control) words=' --dir --foreground --ready-fd --repository --quiet --verbose --no-progress --help --version ' ;;
		generations) words=' --set --repository --json --quiet --verbose --no-progress --help --version ' ;;
		show) words=' --files --errors --writers --repository --json --quiet --verbose --no-progress --help --version ' ;;
		ls) words=' --long --recursive --directory --null --repository --json --quiet --verbose --no-progress --help --version ' ;;
		cat) words=' --repository --quiet --verbose --no-progress --help --version ' ;;
		stats) words=' --repository --json --quiet --verbose --no-progress --help --version ' ;;
		writer) words=' --grant --service --owner --repository --json --quiet --verbose --no-progress --help --version ' ;;
		session) words=' --file --repository --json --quiet --verbose --no-progress --help --version ' ;;
		check) words=' --quick --threads --repository --json --quiet --verbose --no-progress --help --version ' ;;
		forget) words=' --repository --json --quiet --verbose --no-progress --help --version ' ;;
		completion) words=' --quiet --verbose --no-progress --help --version ' ;;
		help) words=' --quiet --verbose --no-progress --help --version ' ;;
		'') words=' --repository --json --quiet --verbose --no-progress --help --version ' ;;
		esac
		_asof_words "$words"
		return
	fi
	case $cmd in
	'') words='init backup restore mount control generations show ls cat stats writer session check forget completion help' ;;
	backup) _asof_files -f ;;
	restore) words=$(_asof_generations) ;;
	mount) _asof_files -d ;;
	show) words=$(_asof_generations) ;;
	ls) words=$(_asof_generations) ;;
	cat) words=$(_asof_generations) ;;
	writer) words='list show add remove log reset' ;;
	session) words=$(_asof_generations) ;;
	check) words=$(_asof_generations) ;;
	forget) words=$(_asof_generations) ;;
	completion) words='bash zsh fish' ;;
	help) words='init backup restore mount control generations show ls cat stats writer session check forget completion help' ;;
	esac
	[ -z "$words" ] || _asof_words "$words"
}

complete -F _asof asof
