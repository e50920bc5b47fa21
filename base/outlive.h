/*
 * outlive - a child of ours that is there to do something when we are killed.
 *
 * It waits for the end of a pipe or socket that we hold the other end of.  So
 * nothing that ends us may end it, and it must keep nothing of ours alive.
 */
#ifndef ASOF_BASE_OUTLIVE_H
#define ASOF_BASE_OUTLIVE_H

/*
 * To be called in the child, directly after fork: a session of its own, where no
 * terminal's signals come; deaf to those that a service manager sends to all; no
 * descriptor but `fd`, which is above 2, and nothing in the place of the standard
 * files.  -1: it cannot be, and the child should end.
 */
int outlive(int fd);

#endif
