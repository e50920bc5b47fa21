dist_man_MANS += %D%/asof.1 %D%/mount.fuse.asof.8
dist_noinst_DATA += %D%/format.md %D%/control.md \
	%D%/conformance.md %D%/writing-a-writer.md

# What "asof completion bash" prints; tests/func/cli.t compares the two.
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = %D%/asof.bash
# For administrators to copy.
examplesdir = $(docdir)/examples
dist_examples_DATA = %D%/examples/asof-mount@.service \
	%D%/examples/mnt-backup.mount %D%/examples/fstab
# For authors to copy; tests/func/sqlite.t runs it.
dist_examples_SCRIPTS = %D%/examples/sqlite-writer
EXTRA_DIST += %D%/decisions %D%/invariants.md %D%/testing.md
