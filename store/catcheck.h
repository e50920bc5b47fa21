/*
 * catcheck - is this LMDB file sound enough to be mapped?
 *
 * LMDB trusts what it maps: a file that is cut short or has a wrong bit in a
 * page ends the process with a signal.  So before a catalogue is used, its
 * meta pages and every page that can be reached are read in the ordinary
 * way and compared with what LMDB 0.9 writes.  That the values are right is
 * another matter: they carry checksums of their own (catalogue.c).
 *
 * Only for files of this machine: native byte order, 64 bits (on others the
 * checks say yes without looking).
 */
#ifndef ASOF_STORE_CATCHECK_H
#define ASOF_STORE_CATCHECK_H

#include <stdint.h>

struct err;

/*
 * Before the file is opened by LMDB: two well-formed meta pages, none of
 * which promises more than `len_max` bytes.  ERR_CORRUPT else.
 */
int catcheck_metas(int fd, uint64_t len_max, struct err *e);

/*
 * With a read transaction `txn` open, so that its pages stay as they are:
 * every page below the roots of that transaction, and that none is both in
 * use and free.  `len_max` as before.  Returns 1 when the meta
 * page has moved on meanwhile (begin a new transaction and ask again).
 */
int catcheck_tree(int fd, uint64_t len_max, uint64_t txn, struct err *e);

#endif
