EXTRA_PROGRAMS = %D%/primitives
bench_primitives_LDADD = $(STORE_LIBS) $(STORE_SYSLIBS) -lm
EXTRA_DIST += %D%/run %D%/make-tree
bench: $(EXTRA_PROGRAMS)
.PHONY: bench
