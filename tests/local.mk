# What has to be linked with what; a new test is a line here.
TEST_EXTENSIONS = .t
TAP_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) \
	$(top_srcdir)/build-aux/tap-driver.sh
LOG_DRIVER = $(TAP_DRIVER)
T_LOG_DRIVER = $(TAP_DRIVER)
T_LOG_COMPILER = $(SHELL)
AM_LOG_DRIVER_FLAGS = --comments
AM_T_LOG_DRIVER_FLAGS = --comments
# MALLOC_PERTURB_: freed and fresh memory is never what it was.
AM_TESTS_ENVIRONMENT = \
	CMOCKA_MESSAGE_OUTPUT=TAP; export CMOCKA_MESSAGE_OUTPUT; \
	MALLOC_PERTURB_=$${MALLOC_PERTURB_-165}; export MALLOC_PERTURB_; \
	ASOF='$(abs_top_builddir)/asof'; export ASOF; \
	srcdir='$(abs_top_srcdir)'; export srcdir; \
	builddir='$(abs_top_builddir)'; export builddir;

check_LIBRARIES = libtest.a
libtest_a_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
libtest_a_SOURCES = \
	%D%/lib/bail.h \
	%D%/lib/claims_rig.h \
	%D%/lib/restore_rig.h \
	%D%/lib/cmocka_all.h \
	%D%/lib/damage.h \
	%D%/lib/failing.h \
	%D%/lib/faults.c \
	%D%/lib/faults.h \
	%D%/lib/honest.h \
	%D%/lib/largest.h \
	%D%/lib/maker.h \
	%D%/lib/memstore.c \
	%D%/lib/memstore.h \
	%D%/lib/pack_maker.h \
	%D%/lib/reduce_rig.h \
	%D%/lib/rng.h \
	%D%/lib/round_rig.h \
	%D%/lib/samples.c \
	%D%/lib/samples.h \
	%D%/lib/scratch.h \
	%D%/lib/shot.c \
	%D%/lib/shot.h \
	%D%/lib/store_fixture.h \
	%D%/lib/tap.h \
	%D%/lib/trace.c \
	%D%/lib/trace.h \
	%D%/lib/use.h \
	%D%/lib/words.h

LDADD = libtest.a $(ENGINE_LIBS) $(STORE_SYSLIBS)

# --- unit: one program a module, cmocka ---------------------------------------

UNIT_TESTS = \
	%D%/unit/test_buf \
	%D%/unit/test_cache \
	%D%/unit/test_catalogue \
	%D%/unit/test_check \
	%D%/unit/test_chunker \
	%D%/unit/test_claims \
	%D%/unit/test_choose \
	%D%/unit/test_config \
	%D%/unit/test_counts \
	%D%/unit/test_pattern \
	%D%/unit/test_crc \
	%D%/unit/test_cursor \
	%D%/unit/test_damage \
	%D%/unit/test_dossier \
	%D%/unit/test_dossiers \
	%D%/unit/test_entry \
	%D%/unit/test_err \
	%D%/unit/test_exclude \
	%D%/unit/test_feed \
	%D%/unit/test_filemap \
	%D%/unit/test_frame \
	%D%/unit/test_generation \
	%D%/unit/test_history \
	%D%/unit/test_id \
	%D%/unit/test_idset \
	%D%/unit/test_index \
	%D%/unit/test_io \
	%D%/unit/test_inomap \
	%D%/unit/test_links \
	%D%/unit/test_list \
	%D%/unit/test_block \
	%D%/unit/test_mem \
	%D%/unit/test_names \
	%D%/unit/test_opt \
	%D%/unit/test_pack \
	%D%/unit/test_path \
	%D%/unit/test_plan \
	%D%/unit/test_pool \
	%D%/unit/test_reader \
	%D%/unit/test_record \
	%D%/unit/test_repository \
	%D%/unit/test_restore \
	%D%/unit/test_root \
	%D%/unit/test_run \
	%D%/unit/test_session \
	%D%/unit/test_shelf \
	%D%/unit/test_sources \
	%D%/unit/test_split \
	%D%/unit/test_src \
	%D%/unit/test_standin \
	%D%/unit/test_store \
	%D%/unit/test_time \
	%D%/unit/test_tree \
	%D%/unit/test_verify \
	%D%/unit/test_view \
	%D%/unit/test_writer \
	%D%/unit/test_writer_claims \
	%D%/unit/test_grammar \
	%D%/unit/test_journal \
	%D%/unit/test_metadata \
	%D%/unit/test_metadata_ask \
	%D%/unit/test_inplace \
	%D%/unit/test_method \
	%D%/unit/test_restore_writers \
	%D%/unit/test_restore_rights \
	%D%/unit/test_ranges \
	%D%/unit/test_reduce \
	%D%/unit/test_reduce_many \
	%D%/unit/test_reduce_model \
	%D%/unit/test_reduce_world \
	%D%/unit/test_statement \
	%D%/unit/test_value \
	%D%/unit/test_wildcard \
	%D%/unit/test_intake \
	%D%/unit/test_party \
	%D%/unit/test_pen \
	%D%/unit/test_registry \
	%D%/unit/test_client \
	%D%/unit/test_coprocess \
	%D%/unit/test_mailbox \
	%D%/unit/test_round

tests_unit_test_buf_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_cache_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_catalogue_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_check_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_chunker_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_claims_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_config_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_counts_LDADD = libfuseview.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_pattern_LDADD = libfuseview.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_crc_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_cursor_LDADD = $(LDADD) $(CMOCKA_LIBS)
REQUESTER_LIBS = librequester.a libwriter.a
tests_unit_test_choose_LDADD = $(REQUESTER_LIBS) $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_dossier_LDADD = $(REQUESTER_LIBS) $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_dossiers_LDADD = $(REQUESTER_LIBS) $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_writer_claims_LDADD = $(REQUESTER_LIBS) $(LDADD) \
	$(CMOCKA_LIBS)
tests_unit_test_damage_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_entry_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_err_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_exclude_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_feed_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_filemap_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_frame_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_generation_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_history_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE_CFLAGS)
tests_unit_test_history_LDADD = libfuseview.a $(LDADD) $(CMOCKA_LIBS) \
	$(FUSE_LIBS)
tests_unit_test_id_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_idset_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_index_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_io_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_inomap_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_links_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_list_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_block_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_mem_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_names_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_opt_SOURCES = %D%/unit/test_opt.c src/cli/opt.c src/cli/opt.h
tests_unit_test_opt_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_pack_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_path_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_plan_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_pool_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_reader_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_record_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_repository_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_restore_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_root_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE_CFLAGS)
tests_unit_test_root_LDADD = libfuseview.a $(LDADD) $(CMOCKA_LIBS) $(FUSE_LIBS)
tests_unit_test_run_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_session_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_shelf_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_sources_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_split_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_src_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_standin_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_store_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_time_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_tree_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_verify_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_view_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_writer_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_grammar_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_journal_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_metadata_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_metadata_ask_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_inplace_LDADD = $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_method_LDADD = librequester.a libwriter.a $(LDADD) \
	$(CMOCKA_LIBS)
tests_unit_test_restore_writers_LDADD = librequester.a libwriter.a $(LDADD) \
	$(CMOCKA_LIBS)
tests_unit_test_restore_rights_LDADD = librequester.a libwriter.a $(LDADD) \
	$(CMOCKA_LIBS)
tests_unit_test_ranges_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_reduce_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_reduce_many_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_reduce_model_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_reduce_world_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_statement_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_value_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_wildcard_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_intake_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_party_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_party_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=journal_append_all
tests_unit_test_pen_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_pen_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=journal_append_all \
	-Wl,--wrap=journal_view_read -Wl,--wrap=metadata_parse
tests_unit_test_registry_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_mailbox_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_client_SOURCES = %D%/unit/test_client.c \
	%D%/lib/fake_desk.c %D%/lib/fake_desk.h
tests_unit_test_client_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_coprocess_SOURCES = %D%/unit/test_coprocess.c \
	%D%/lib/fake_desk.c %D%/lib/fake_desk.h
tests_unit_test_coprocess_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)
tests_unit_test_round_SOURCES = %D%/unit/test_round.c \
	%D%/lib/fake_desk.c %D%/lib/fake_desk.h
tests_unit_test_round_LDADD = libwriter.a $(LDADD) $(CMOCKA_LIBS)

# --- fault: the Nth call of whole scenarios -----------------------------------

FAULT_TESTS = %D%/fault/nth

# --- crash: power cuts and kills ------------------------------------------------

CRASH_RIGS = %D%/crash/powercut
CRASH_BY_LOT = %D%/crash/killer %D%/crash/random
CRASH_TESTS = $(CRASH_RIGS) $(CRASH_BY_LOT)

# --- fuzz: the corpora, replayed -----------------------------------------------

REPLAYS = \
	%D%/fuzz/replay_config \
	%D%/fuzz/replay_damage \
	%D%/fuzz/replay_dossier \
	%D%/fuzz/replay_entry \
	%D%/fuzz/replay_exclude \
	%D%/fuzz/replay_filemap \
	%D%/fuzz/replay_frame \
	%D%/fuzz/replay_links \
	%D%/fuzz/replay_list \
	%D%/fuzz/replay_pack \
	%D%/fuzz/replay_record \
	%D%/fuzz/replay_tree \
	%D%/fuzz/replay_grammar \
	%D%/fuzz/replay_journal \
	%D%/fuzz/replay_intake \
	%D%/fuzz/replay_metadata \
	%D%/fuzz/replay_ranges \
	%D%/fuzz/replay_statement

tests_fuzz_replay_config_SOURCES = %D%/fuzz/replay.c %D%/fuzz/fuzz_config.c \
	%D%/fuzz/fuzz.h %D%/fuzz/segments.c %D%/fuzz/segments.h
tests_fuzz_replay_damage_SOURCES = %D%/fuzz/replay.c %D%/fuzz/fuzz_damage.c \
	%D%/fuzz/fuzz.h %D%/fuzz/segments.c %D%/fuzz/segments.h
tests_fuzz_replay_dossier_SOURCES = %D%/fuzz/replay.c \
	%D%/fuzz/fuzz_dossier.c %D%/fuzz/fuzz.h
tests_fuzz_replay_dossier_LDADD = $(REQUESTER_LIBS) $(LDADD)
tests_fuzz_replay_entry_SOURCES = %D%/fuzz/replay.c %D%/fuzz/fuzz_entry.c \
	%D%/fuzz/fuzz.h %D%/fuzz/segments.c %D%/fuzz/segments.h
tests_fuzz_replay_exclude_SOURCES = %D%/fuzz/replay.c %D%/fuzz/fuzz_exclude.c \
	%D%/fuzz/fuzz.h %D%/fuzz/segments.c %D%/fuzz/segments.h
tests_fuzz_replay_filemap_SOURCES = %D%/fuzz/replay.c %D%/fuzz/fuzz_filemap.c \
	%D%/fuzz/fuzz.h %D%/fuzz/segments.c %D%/fuzz/segments.h
tests_fuzz_replay_frame_SOURCES = %D%/fuzz/replay.c %D%/fuzz/fuzz_frame.c \
	%D%/fuzz/fuzz.h %D%/fuzz/segments.c %D%/fuzz/segments.h
tests_fuzz_replay_links_SOURCES = %D%/fuzz/replay.c %D%/fuzz/fuzz_links.c \
	%D%/fuzz/fuzz.h %D%/fuzz/segments.c %D%/fuzz/segments.h
tests_fuzz_replay_list_SOURCES = %D%/fuzz/replay.c %D%/fuzz/fuzz_list.c \
	%D%/fuzz/fuzz.h %D%/fuzz/segments.c %D%/fuzz/segments.h
tests_fuzz_replay_pack_SOURCES = %D%/fuzz/replay.c %D%/fuzz/fuzz_pack.c \
	%D%/fuzz/fuzz.h %D%/fuzz/segments.c %D%/fuzz/segments.h
tests_fuzz_replay_record_SOURCES = %D%/fuzz/replay.c %D%/fuzz/fuzz_record.c \
	%D%/fuzz/fuzz.h %D%/fuzz/segments.c %D%/fuzz/segments.h
tests_fuzz_replay_tree_SOURCES = %D%/fuzz/replay.c %D%/fuzz/fuzz_tree.c \
	%D%/fuzz/fuzz.h %D%/fuzz/segments.c %D%/fuzz/segments.h
tests_fuzz_replay_grammar_SOURCES = %D%/fuzz/replay.c \
	%D%/fuzz/fuzz_grammar.c %D%/fuzz/fuzz.h
tests_fuzz_replay_grammar_LDADD = libwriter.a $(LDADD)
tests_fuzz_replay_journal_SOURCES = %D%/fuzz/replay.c \
	%D%/fuzz/fuzz_journal.c %D%/fuzz/fuzz.h
tests_fuzz_replay_journal_LDADD = libwriter.a $(LDADD)
tests_fuzz_replay_intake_SOURCES = %D%/fuzz/replay.c \
	%D%/fuzz/fuzz_intake.c %D%/fuzz/fuzz.h
tests_fuzz_replay_intake_LDADD = libwriter.a $(LDADD)
tests_fuzz_replay_metadata_SOURCES = %D%/fuzz/replay.c \
	%D%/fuzz/fuzz_metadata.c %D%/fuzz/fuzz.h
tests_fuzz_replay_metadata_LDADD = libwriter.a $(LDADD)
tests_fuzz_replay_ranges_SOURCES = %D%/fuzz/replay.c \
	%D%/fuzz/fuzz_ranges.c %D%/fuzz/fuzz.h
tests_fuzz_replay_ranges_LDADD = libwriter.a $(LDADD)
tests_fuzz_replay_statement_SOURCES = %D%/fuzz/replay.c \
	%D%/fuzz/fuzz_statement.c %D%/fuzz/fuzz.h
tests_fuzz_replay_statement_LDADD = libwriter.a $(LDADD)

# The same with libFuzzer: configure --enable-fuzz CC=clang.
if FUZZ
FUZZERS = \
	%D%/fuzz/fuzz_config \
	%D%/fuzz/fuzz_damage \
	%D%/fuzz/fuzz_dossier \
	%D%/fuzz/fuzz_entry \
	%D%/fuzz/fuzz_exclude \
	%D%/fuzz/fuzz_filemap \
	%D%/fuzz/fuzz_frame \
	%D%/fuzz/fuzz_links \
	%D%/fuzz/fuzz_list \
	%D%/fuzz/fuzz_pack \
	%D%/fuzz/fuzz_record \
	%D%/fuzz/fuzz_tree \
	%D%/fuzz/fuzz_grammar \
	%D%/fuzz/fuzz_journal \
	%D%/fuzz/fuzz_intake \
	%D%/fuzz/fuzz_metadata \
	%D%/fuzz/fuzz_ranges \
	%D%/fuzz/fuzz_statement
noinst_PROGRAMS += $(FUZZERS)
tests_fuzz_fuzz_config_SOURCES = %D%/fuzz/fuzz_config.c %D%/fuzz/segments.c
tests_fuzz_fuzz_config_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_damage_SOURCES = %D%/fuzz/fuzz_damage.c %D%/fuzz/segments.c
tests_fuzz_fuzz_damage_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_dossier_SOURCES = %D%/fuzz/fuzz_dossier.c
tests_fuzz_fuzz_dossier_LDADD = $(REQUESTER_LIBS) $(LDADD)
tests_fuzz_fuzz_dossier_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_entry_SOURCES = %D%/fuzz/fuzz_entry.c %D%/fuzz/segments.c
tests_fuzz_fuzz_entry_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_exclude_SOURCES = %D%/fuzz/fuzz_exclude.c %D%/fuzz/segments.c
tests_fuzz_fuzz_exclude_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_filemap_SOURCES = %D%/fuzz/fuzz_filemap.c %D%/fuzz/segments.c
tests_fuzz_fuzz_filemap_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_frame_SOURCES = %D%/fuzz/fuzz_frame.c %D%/fuzz/segments.c
tests_fuzz_fuzz_frame_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_links_SOURCES = %D%/fuzz/fuzz_links.c %D%/fuzz/segments.c
tests_fuzz_fuzz_links_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_list_SOURCES = %D%/fuzz/fuzz_list.c %D%/fuzz/segments.c
tests_fuzz_fuzz_list_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_pack_SOURCES = %D%/fuzz/fuzz_pack.c %D%/fuzz/segments.c
tests_fuzz_fuzz_pack_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_record_SOURCES = %D%/fuzz/fuzz_record.c %D%/fuzz/segments.c
tests_fuzz_fuzz_record_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_tree_SOURCES = %D%/fuzz/fuzz_tree.c %D%/fuzz/segments.c
tests_fuzz_fuzz_tree_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_grammar_SOURCES = %D%/fuzz/fuzz_grammar.c
tests_fuzz_fuzz_grammar_LDADD = libwriter.a $(LDADD)
tests_fuzz_fuzz_grammar_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_journal_SOURCES = %D%/fuzz/fuzz_journal.c
tests_fuzz_fuzz_journal_LDADD = libwriter.a $(LDADD)
tests_fuzz_fuzz_journal_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_intake_SOURCES = %D%/fuzz/fuzz_intake.c
tests_fuzz_fuzz_intake_LDADD = libwriter.a $(LDADD)
tests_fuzz_fuzz_intake_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_metadata_SOURCES = %D%/fuzz/fuzz_metadata.c
tests_fuzz_fuzz_metadata_LDADD = libwriter.a $(LDADD)
tests_fuzz_fuzz_metadata_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_ranges_SOURCES = %D%/fuzz/fuzz_ranges.c
tests_fuzz_fuzz_ranges_LDADD = libwriter.a $(LDADD)
tests_fuzz_fuzz_ranges_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_statement_SOURCES = %D%/fuzz/fuzz_statement.c
tests_fuzz_fuzz_statement_LDADD = libwriter.a $(LDADD)
tests_fuzz_fuzz_statement_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
endif

# --- func: the built program, from outside -------------------------------------

FUNC_HELPERS = \
	%D%/func/control_session \
	%D%/func/facts \
	%D%/func/hanging_fs \
	%D%/func/image \
	%D%/func/inject \
	%D%/func/partial20g \
	%D%/func/randread \
	%D%/func/readcheck \
	%D%/func/readonly \
	%D%/func/torture-tree
FUNC_TESTS = \
	%D%/func/bigtree.t \
	%D%/func/cli.t \
	%D%/func/concurrent.t \
	%D%/func/control.t \
	%D%/func/control_random.t \
	%D%/func/damage.t \
	%D%/func/errors.t \
	%D%/func/format.t \
	%D%/func/generations.t \
	%D%/func/heal.t \
	%D%/func/image.t \
	%D%/func/kill.t \
	%D%/func/model.t \
	%D%/func/mount.t \
	%D%/func/nfs.t \
	%D%/func/partial20g.t \
	%D%/func/randread.t \
	%D%/func/readonly.t \
	%D%/func/restore_writers.t \
	%D%/func/review.t \
	%D%/func/smb.t \
	%D%/func/snapshot.t \
	%D%/func/snapshot_kill.t \
	%D%/func/sources.t \
	%D%/func/sqlite.t \
	%D%/func/stats.t \
	%D%/func/supervise.t \
	%D%/func/tools.t \
	%D%/func/torture.t \
	%D%/func/tutorial.t \
	%D%/func/versions.t \
	%D%/func/writers.t \
	%D%/func/writers_kill.t \
	%D%/func/writers_random.t

tests_func_control_session_LDADD = libwriter.a $(LDADD)
tests_func_hanging_fs_CPPFLAGS = $(AM_CPPFLAGS) $(FUSE_CFLAGS)
tests_func_hanging_fs_LDADD = $(FUSE_LIBS)
tests_func_partial20g_LDADD = librequester.a libsnapshot.a libwriter.a $(LDADD)

# --- which of them --------------------------------------------------------------

check_PROGRAMS += $(UNIT_TESTS) $(FAULT_TESTS) $(CRASH_RIGS) $(REPLAYS) \
	$(FUNC_HELPERS)

TESTS += $(UNIT_TESTS) %D%/fuzz/replay.t $(FAULT_TESTS) $(CRASH_TESTS) \
	$(FUNC_TESTS)

# What has threads, for a build with the thread sanitizer.
THREAD_TESTS = %D%/unit/test_block %D%/unit/test_pool %D%/unit/test_store \
	%D%/unit/test_claims \
	%D%/unit/test_feed \
	%D%/unit/test_writer %D%/unit/test_counts %D%/unit/test_pattern \
	%D%/unit/test_index %D%/unit/test_view %D%/unit/test_restore \
	%D%/unit/test_client %D%/unit/test_coprocess %D%/unit/test_round \
	%D%/unit/test_shelf %D%/func/generations.t %D%/func/concurrent.t \
	%D%/func/mount.t %D%/func/versions.t %D%/func/randread.t \
	%D%/func/control.t %D%/func/control_random.t
check-threads: all
	RANDREAD_OPERATIONS=$${RANDREAD_OPERATIONS-5000} \
		$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(THREAD_TESTS)'

# What a build with the address sanitizer is asked: all but what only says
# again, slowly, what the plain build has said.
SANITIZED_TESTS = $(UNIT_TESTS) %D%/fuzz/replay.t %D%/fault/nth \
	%D%/crash/powercut \
	%D%/func/torture.t %D%/func/errors.t %D%/func/concurrent.t \
	%D%/func/review.t %D%/func/mount.t %D%/func/stats.t \
	%D%/func/supervise.t %D%/func/versions.t %D%/func/readonly.t \
	%D%/func/randread.t %D%/func/control.t %D%/func/control_random.t \
	%D%/func/writers_random.t
check-sanitized: all
	NTH_STEP=$${NTH_STEP-29} POWERCUT_STATES=$${POWERCUT_STATES-250} \
		RANDREAD_OPERATIONS=$${RANDREAD_OPERATIONS-10000} \
		$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(SANITIZED_TESTS)'

# What a second compiler is asked.
check-units: all
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(UNIT_TESTS) %D%/fuzz/replay.t'
.PHONY: check-threads check-units check-sanitized

VALGRIND = valgrind -q --error-exitcode=99 --leak-check=full \
	--show-leak-kinds=definite,possible --child-silent-after-fork=yes
# In CI the quick ones; check-valgrind-all takes half an hour.
VALGRIND_TESTS = %D%/unit/test_buf %D%/unit/test_cursor %D%/unit/test_err \
	%D%/unit/test_path %D%/unit/test_time %D%/unit/test_id \
	%D%/unit/test_split %D%/unit/test_config %D%/unit/test_frame \
	%D%/unit/test_entry %D%/unit/test_list %D%/unit/test_plan \
	%D%/unit/test_names %D%/unit/test_sources %D%/unit/test_opt \
	%D%/unit/test_session %D%/unit/test_idset %D%/unit/test_damage \
	%D%/unit/test_crc %D%/unit/test_journal %D%/unit/test_reduce \
	%D%/unit/test_reduce_many %D%/unit/test_reduce_model \
	%D%/unit/test_reduce_world \
	%D%/unit/test_grammar %D%/unit/test_metadata \
	%D%/unit/test_metadata_ask %D%/unit/test_ranges \
	%D%/unit/test_statement %D%/unit/test_value %D%/unit/test_wildcard \
	%D%/unit/test_client %D%/unit/test_coprocess %D%/unit/test_mailbox \
	%D%/unit/test_round
check-valgrind-all: $(check_PROGRAMS)
	$(MAKE) $(AM_MAKEFLAGS) check-valgrind VALGRIND_TESTS='$(UNIT_TESTS)'
check-valgrind: $(check_PROGRAMS)
	@bad=; for t in $(VALGRIND_TESTS); do \
		echo "$$t"; \
		CMOCKA_MESSAGE_OUTPUT=TAP TEST_QUICK=1 $(VALGRIND) ./$$t \
			>$$t.valgrind 2>&1 || { \
			tail -n 30 $$t.valgrind; bad="$$bad $$t"; }; \
	done; test -z "$$bad" || { echo "valgrind:$$bad"; exit 1; }
.PHONY: check-valgrind check-valgrind-all
CLEANFILES += $(UNIT_TESTS:=.valgrind)

EXTRA_DIST += $(FUNC_TESTS) %D%/writer/actor %D%/writer/killer \
	%D%/writer/property %D%/func/lib.sh %D%/func/snapshot.sh \
	%D%/func/writers.sh \
	%D%/func/badsector.c %D%/func/control_random.py \
	%D%/func/control_say.py %D%/func/nfs4.py %D%/fuzz/replay.t \
	%D%/leaks.supp $(CRASH_BY_LOT) %D%/crash/cage.py %D%/crash/world.py \
	%D%/fuzz/corpus %D%/fuzz/make_corpus.c \
	%D%/soak/bigtree %D%/soak/mount \
	%D%/golden/reader.py %D%/install-test %D%/clean-tree
