EXTRA_PROGRAMS = %D%/primitives %D%/index %D%/ranges
bench_primitives_LDADD = $(STORE_LIBS) $(STORE_SYSLIBS) -lm
bench_index_LDADD = $(STORE_LIBS) $(STORE_SYSLIBS)
bench_ranges_LDADD = libwriter.a libbase.a
EXTRA_DIST += %D%/run %D%/mount %D%/declared %D%/peers.py %D%/make-tree %D%/RESULTS.md
bench: $(EXTRA_PROGRAMS)
.PHONY: bench
