noinst_LIBRARIES += libengine.a
libengine_a_SOURCES = \
	%D%/engine/attrs.c %D%/engine/attrs.h \
	%D%/engine/backup.c %D%/engine/backup.h \
	%D%/engine/backup_internal.h \
	%D%/engine/check.c %D%/engine/check.h \
	%D%/engine/claimed.c %D%/engine/claimed.h \
	%D%/engine/claims.h \
	%D%/engine/collect.c %D%/engine/collect.h \
	%D%/engine/entry.c %D%/engine/entry.h \
	%D%/engine/exclude.c %D%/engine/exclude.h \
	%D%/engine/feed.c %D%/engine/feed.h \
	%D%/engine/filemap.c %D%/engine/filemap.h \
	%D%/engine/gather.c %D%/engine/gather.h \
	%D%/engine/generation.c %D%/engine/generation.h \
	%D%/engine/graft.c %D%/engine/graft.h \
	%D%/engine/graft_internal.h \
	%D%/engine/ingest.c %D%/engine/ingest.h \
	%D%/engine/inplace.c %D%/engine/inplace.h \
	%D%/engine/inomap.c %D%/engine/inomap.h \
	%D%/engine/inventory.c %D%/engine/inventory.h \
	%D%/engine/levels.c %D%/engine/levels.h \
	%D%/engine/links.c %D%/engine/links.h \
	%D%/engine/list.c %D%/engine/list.h \
	%D%/engine/listing.c %D%/engine/listing.h \
	%D%/engine/names.c %D%/engine/names.h \
	%D%/engine/patch.c %D%/engine/patch.h \
	%D%/engine/place.c \
	%D%/engine/plan.c %D%/engine/plan.h \
	%D%/engine/reader.c %D%/engine/reader.h \
	%D%/engine/record.c %D%/engine/record.h \
	%D%/engine/relink.c \
	%D%/engine/restore.c %D%/engine/restore.h \
	%D%/engine/restore_internal.h \
	%D%/engine/scan.c %D%/engine/scan.h \
	%D%/engine/sources.c %D%/engine/sources.h \
	%D%/engine/standin.c %D%/engine/standin.h \
	%D%/engine/target.c %D%/engine/target.h \
	%D%/engine/tree.c %D%/engine/tree.h \
	%D%/engine/view.c %D%/engine/view.h

noinst_LIBRARIES += libwriter.a
libwriter_a_SOURCES = \
	%D%/writer/client.c %D%/writer/client.h \
	%D%/writer/client_internal.h \
	%D%/writer/connect.c \
	%D%/writer/coprocess.c %D%/writer/coprocess.h \
	%D%/writer/desk.c %D%/writer/desk_internal.h \
	%D%/writer/entries.c %D%/writer/entries.h \
	%D%/writer/frozen.c %D%/writer/frozen.h \
	%D%/writer/grammar.c %D%/writer/grammar.h \
	%D%/writer/intake.c %D%/writer/intake.h \
	%D%/writer/journal.c %D%/writer/journal.h \
	%D%/writer/journal_entry.c %D%/writer/journal_internal.h \
	%D%/writer/journal_segment.c %D%/writer/journal_view.c \
	%D%/writer/launch.c %D%/writer/launch.h \
	%D%/writer/listen.c \
	%D%/writer/mailbox.c %D%/writer/mailbox.h \
	%D%/writer/metadata.c %D%/writer/metadata.h \
	%D%/writer/metadata_ask.c \
	%D%/writer/metadata_check.c %D%/writer/metadata_internal.h \
	%D%/writer/metadata_print.c \
	%D%/writer/part.c \
	%D%/writer/party.c %D%/writer/party.h \
	%D%/writer/party_document.c \
	%D%/writer/partylog.c %D%/writer/partylog.h \
	%D%/writer/pen.c %D%/writer/pen.h \
	%D%/writer/pending.c \
	%D%/writer/preface.c %D%/writer/preface.h \
	%D%/writer/ranges.c %D%/writer/ranges.h \
	%D%/writer/reduce.c %D%/writer/reduce.h \
	%D%/writer/reduce_differenced.c %D%/writer/reduce_internal.h \
	%D%/writer/reduced.c \
	%D%/writer/refuse.c %D%/writer/refuse.h \
	%D%/writer/registry.c %D%/writer/registry.h \
	%D%/writer/remote.c %D%/writer/remote.h \
	%D%/writer/resolve.c %D%/writer/resolve.h \
	%D%/writer/roster.c %D%/writer/roster.h \
	%D%/writer/round.c %D%/writer/round.h \
	%D%/writer/round_begin.c %D%/writer/round_internal.h \
	%D%/writer/round_freeze.c \
	%D%/writer/round_line.c \
	%D%/writer/rundir.c %D%/writer/rundir.h \
	%D%/writer/server.c %D%/writer/server.h \
	%D%/writer/server_internal.h \
	%D%/writer/statement.c %D%/writer/statement.h \
	%D%/writer/strings.c %D%/writer/strings.h \
	%D%/writer/table.c %D%/writer/table.h \
	%D%/writer/taking.c \
	%D%/writer/term.c %D%/writer/term.h \
	%D%/writer/value.c %D%/writer/value.h \
	%D%/writer/voice.c %D%/writer/voice.h \
	%D%/writer/wildcard.c %D%/writer/wildcard.h \
	%D%/writer/wire.c %D%/writer/wire.h

noinst_LIBRARIES += libsnapshot.a
libsnapshot_a_SOURCES = \
	%D%/snapshot/program.c %D%/snapshot/program.h \
	%D%/snapshot/snapshot.c %D%/snapshot/snapshot.h

noinst_LIBRARIES += librequester.a
librequester_a_SOURCES = \
	%D%/requester/atlas.c %D%/requester/atlas.h \
	%D%/requester/audit.c %D%/requester/audit.h \
	%D%/requester/backup.c %D%/requester/backup.h \
	%D%/requester/cast.c \
	%D%/requester/chart.c \
	%D%/requester/choose.c %D%/requester/choose.h \
	%D%/requester/claims.c %D%/requester/claims.h \
	%D%/requester/claims_internal.h \
	%D%/requester/deliver.c %D%/requester/deliver.h \
	%D%/requester/dossier.c %D%/requester/dossier.h \
	%D%/requester/dossier_read.c \
	%D%/requester/finder.c %D%/requester/finder.h \
	%D%/requester/guise.c %D%/requester/guise.h \
	%D%/requester/granted.c %D%/requester/granted.h \
	%D%/requester/hearing.c \
	%D%/requester/history.c %D%/requester/history.h \
	%D%/requester/images.c \
	%D%/requester/journals.c \
	%D%/requester/method.c %D%/requester/method.h \
	%D%/requester/places.c %D%/requester/places.h \
	%D%/requester/postcopy.c \
	%D%/requester/promise.c \
	%D%/requester/pass.c %D%/requester/pass.h \
	%D%/requester/unit.c %D%/requester/asked.c \
	%D%/requester/putback.c \
	%D%/requester/restore.c %D%/requester/restore.h \
	%D%/requester/restore_words.c %D%/requester/restore_words.h \
	%D%/requester/remains.c \
	%D%/requester/run.h \
	%D%/requester/selection.c %D%/requester/selection.h \
	%D%/requester/service.c %D%/requester/service.h \
	%D%/requester/session_file.c %D%/requester/session_file.h \
	%D%/requester/still.c \
	%D%/requester/stored.c %D%/requester/stored.h \
	%D%/requester/writeup.c

bin_PROGRAMS += asof
asof_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(FUSE_CFLAGS)
asof_SOURCES = \
	%D%/cli/backup.c \
	%D%/cli/cat.c \
	%D%/cli/check.c \
	%D%/cli/cmd.c %D%/cli/cmd.h \
	%D%/cli/completion.c \
	%D%/cli/control.c \
	%D%/cli/detach.c %D%/cli/detach.h \
	%D%/cli/dossier.c %D%/cli/dossier.h \
	%D%/cli/forget.c \
	%D%/cli/generations.c \
	%D%/cli/help.c \
	%D%/cli/init.c \
	%D%/cli/json.c %D%/cli/json.h \
	%D%/cli/ls.c \
	%D%/cli/main.c \
	%D%/cli/mount.c \
	%D%/cli/opt.c %D%/cli/opt.h \
	%D%/cli/restore.c \
	%D%/cli/restore_writers.c %D%/cli/restore_writers.h \
	%D%/cli/session.c \
	%D%/cli/show.c \
	%D%/cli/stats.c \
	%D%/cli/ui.c %D%/cli/ui.h \
	%D%/cli/writer.c
ENGINE_LIBS = libengine.a $(STORE_LIBS)
asof_LDADD = libfuseview.a librequester.a libsnapshot.a libwriter.a $(ENGINE_LIBS) $(STORE_SYSLIBS) \
	$(JANSSON_LIBS) $(FUSE_LIBS)

# What mount(8) runs for the type fuse.asof.
install-exec-hook:
	$(MKDIR_P) "$(DESTDIR)$(sbindir)"
	ln -sf "$(bindir)/asof" "$(DESTDIR)$(sbindir)/mount.fuse.asof"
uninstall-hook:
	rm -f "$(DESTDIR)$(sbindir)/mount.fuse.asof"
