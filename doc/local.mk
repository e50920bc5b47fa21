dist_man_MANS += %D%/asof.1
dist_doc_DATA += %D%/format.md %D%/invariants.md
EXTRA_DIST += %D%/decisions
