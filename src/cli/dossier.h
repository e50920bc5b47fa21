/*
 * dossier - the writers of a generation, for people and programs.
 */
#ifndef ASOF_CLI_DOSSIER_H
#define ASOF_CLI_DOSSIER_H

struct err;
struct view_gen;

/*
 * Print the session's record of the generation: as text, or as one object.  A
 * generation without one has no writers: nothing is printed, or an object
 * without a session.  Returns an exit code, or -1.
 */
int dossier_show(struct view_gen *g, struct err *e);
int dossier_show_json(struct view_gen *g, struct err *e);

#endif
