EXTRA_PROGRAMS = %D%/primitives %D%/index
bench_primitives_LDADD = $(STORE_LIBS) $(STORE_SYSLIBS) -lm
bench_index_LDADD = $(STORE_LIBS) $(STORE_SYSLIBS)
EXTRA_DIST += %D%/run %D%/mount %D%/peers.py %D%/make-tree %D%/RESULTS.md
bench: $(EXTRA_PROGRAMS)
.PHONY: bench
