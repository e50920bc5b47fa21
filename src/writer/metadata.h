/*
 * metadata - a writer's document: what it has, and how to treat it.
 *
 * doc/control.md, section 6.  A document is parsed and judged as a whole, from
 * its first line to `end`; then it is read-only.  What is asked here needs
 * nothing but the document: component sets, masks, which file set a path or a
 * declaration belongs to.
 *
 * Components, file sets and the rest are kept in the order of the document.
 * A component is known by its index; METADATA_NONE is none.
 */
#ifndef ASOF_WRITER_METADATA_H
#define ASOF_WRITER_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct statement;

#define METADATA_LEN_MAX        1048576 /* bytes of a document */
#define METADATA_COMPONENTS_MAX 4096
#define METADATA_STARS_MAX      16384 /* bytes of patterns with several stars */
#define METADATA_TEXT_MAX       1024 /* bytes of a caption, an instance name */
#define METADATA_NONE           SIZE_MAX

/* Types of a backup, and bits of the two halves of a file set's mask. */
enum metadata_type {
	METADATA_FULL = 1 << 0,
	METADATA_DIFFERENTIAL = 1 << 1,
	METADATA_INCREMENTAL = 1 << 2,
	METADATA_LOG = 1 << 3,
	METADATA_ALL = 15,      /* the four above */
	METADATA_COPY = 1 << 4, /* has no bit of its own: full's counts */
};

/* "full" for METADATA_FULL; "none" for what is no type.  0: no type's name. */
const char *metadata_type_name(unsigned type);
unsigned metadata_type_parse(const char *name);

/* A type whose backup has no base: full, copy. */
bool metadata_is_whole(unsigned type);

enum metadata_schema {
	SCHEMA_DIFFERENTIAL = 0x0001,
	SCHEMA_INCREMENTAL = 0x0002,
	SCHEMA_EXCLUSIVE = 0x0004, /* the two are not mixed */
	SCHEMA_LOG = 0x0008,
	SCHEMA_COPY = 0x0010,
	SCHEMA_TIMESTAMPED = 0x0020,
	SCHEMA_LAST_MODIFY = 0x0040,
	SCHEMA_LSN = 0x0080, /* reserved: refused */
	SCHEMA_NEW_TARGET = 0x0100,
	SCHEMA_RESTORE_WITH_MOVE = 0x0200,
	SCHEMA_INDEPENDENT_SYSTEM_STATE = 0x0400,
	SCHEMA_ROLLFORWARD_RESTORE = 0x1000,
	SCHEMA_RESTORE_RENAME = 0x2000,
	SCHEMA_AUTHORITATIVE_RESTORE = 0x4000,
	SCHEMA_PARALLEL_RESTORES = 0x8000,
};

enum metadata_usage {
	USAGE_BOOTABLE_SYSTEM_STATE = 1,
	USAGE_SYSTEM_SERVICE,
	USAGE_USER_DATA, /* when nothing is said */
	USAGE_OTHER,
};

enum metadata_source {
	SOURCE_TRANSACTED_DATABASE = 1,
	SOURCE_NON_TRANSACTED_DATABASE,
	SOURCE_OTHER, /* when nothing is said */
};

enum metadata_level { /* in this order they are thawed, frozen in reverse */
	LEVEL_SYSTEM = 1,
	LEVEL_BACK_END,
	LEVEL_FRONT_END, /* when nothing is said */
};

enum metadata_method {
	METHOD_RESTORE_IF_NOT_THERE = 1,
	METHOD_RESTORE_IF_CAN_REPLACE,
	METHOD_STOP_RESTORE_START,
	METHOD_RESTORE_TO_ALTERNATE_LOCATION,
	METHOD_RESTORE_AT_REBOOT,
	METHOD_RESTORE_AT_REBOOT_IF_CANNOT_REPLACE,
	METHOD_CUSTOM,
	METHOD_RESTORE_STOP_START,
};

enum metadata_events { /* of a restore, that the writer wants */
	EVENTS_NEVER = 1,
	EVENTS_IF_REPLACE_FAILS,
	EVENTS_ALWAYS, /* when nothing is said */
};

enum metadata_component_type {
	COMPONENT_DATABASE = 1,
	COMPONENT_FILE_GROUP,
};

enum metadata_component_flag {
	COMPONENT_BACKUP_RECOVERY = 1 << 0,
	COMPONENT_ROLLBACK_RECOVERY = 1 << 1,
	COMPONENT_NOT_SYSTEM_STATE = 1 << 2,
	COMPONENT_UNLOGGED_HINTS = 1 << 3,   /* undeclared bytes may differ */
	COMPONENT_NOTIFY = 1 << 4,           /* carried, without effect */
	COMPONENT_RESTORE_METADATA = 1 << 5, /* carried, without effect */
};

struct metadata_component {
	const char *name;    /* full: logical path, slash, name */
	const char *caption; /* NULL: none */
	enum metadata_component_type type;
	unsigned flags; /* of enum metadata_component_flag */
	bool selectable;
	bool selectable_for_restore;
	bool log_recovery; /* recovery=log: may change while it is read */
	size_t line;
};

/* Which files: those of `dir` (recursive: and beneath) that match. */
struct metadata_spec {
	const char *dir;
	const char *pattern;
	bool recursive;
	size_t line;
};

enum metadata_files_kind {
	FILES_PLAIN,    /* of a file group */
	FILES_DATABASE, /* of a database */
	FILES_LOG,      /* of a database */
};

struct metadata_files {
	struct metadata_spec spec;
	enum metadata_files_kind kind;
	size_t component;
	const char *alternate; /* the directory to read from, or NULL */
	unsigned backup;   /* of enum metadata_type: must be there after it */
	unsigned snapshot; /* of enum metadata_type: only from the snapshot */
	bool created;      /* need not be there before the snapshot */
};

struct metadata_location {
	struct metadata_spec spec; /* that of a file set */
	const char *to;
};

struct metadata_dependency {
	size_t component;
	const char *machine; /* NULL: this one */
	const char *writer;
	const char *target; /* full name of a component of that writer */
	size_t line;
};

/* All of these are arrays of `count`; `cap` is for the parser. */
struct metadata_components {
	struct metadata_component *v;
	size_t count, cap;
};
struct metadata_file_sets {
	struct metadata_files *v;
	size_t count, cap;
};
struct metadata_specs {
	struct metadata_spec *v;
	size_t count, cap;
};
struct metadata_locations {
	struct metadata_location *v;
	size_t count, cap;
};
struct metadata_dependencies {
	struct metadata_dependency *v;
	size_t count, cap;
};

struct metadata {
	const char *writer;
	const char *instance; /* NULL: none */
	enum metadata_usage usage;
	enum metadata_source source;
	enum metadata_level level;
	unsigned schema; /* of enum metadata_schema */
	enum metadata_method method;
	size_t method_line;
	enum metadata_events events;
	bool reboot_required;
	struct metadata_components components;
	struct metadata_file_sets files;
	struct metadata_specs excludes;
	struct metadata_specs snapshot_excludes;
	struct metadata_locations locations;
	struct metadata_dependencies dependencies;

	size_t *by_name; /* components in the order of their names */
	const struct metadata_spec **by_spec; /* file sets in that order */
	char *strings;                        /* all of them */
};

/*
 * Parse and judge a whole document.  A sentence about a line begins with it.
 * EDQUOT: more bytes or components than the limits; ENOENT: a component or file
 * set that is not there; EINVAL: the rest.  *out is untouched unless all is
 * well, and then wants metadata_free.
 */
int metadata_parse(struct metadata **out, const void *text, size_t len,
		   struct err *e);
void metadata_free(struct metadata *m);

/* Append the normal form: it parses to the same document. */
void metadata_print(const struct metadata *m, struct buf *out);

/*
 * May a writer that is not root hand this in?  Every path lies beneath one of
 * the n granted ones (absolute, normal), and the restore method is not custom;
 * else EPERM.  By their names alone: what is behind them is asked at use.
 */
int metadata_granted(const struct metadata *m, const char *const *grants,
		     size_t n, struct err *e);

/* The same for the paths of a statement. */
int metadata_statement_granted(const struct statement *s,
			       const char *const *grants, size_t n,
			       struct err *e);

/* --- components ------------------------------------------------------------- */

/* How a component gets into a backup. */
enum metadata_inclusion {
	INCLUDE_REQUIRED, /* explicit, whenever anything of the writer is */
	INCLUDE_OPTIONAL, /* explicit, if somebody wants it */
	INCLUDE_IMPLICIT, /* only with the set that it is part of */
	INCLUDE_EITHER,   /* with its set, or explicit without it */
};

/* The component of this full name, len bytes, or METADATA_NONE. */
size_t metadata_find(const struct metadata *m, const char *name, size_t len);

/* The nearest selectable ancestor: whose set it is part of, or METADATA_NONE. */
size_t metadata_set_of(const struct metadata *m, size_t component);

enum metadata_inclusion metadata_inclusion(const struct metadata *m,
					   size_t component);

/* Is `component` in the set of `set`, or the same? */
bool metadata_is_member(const struct metadata *m, size_t component, size_t set);

/* The first member of the set, besides itself, at or behind index `from`. */
size_t metadata_next_member(const struct metadata *m, size_t set, size_t from);

/*
 * Judge a choice of explicit components, chosen[i] for each: those that are
 * required are added if anything is chosen; then EINVAL for one that can only
 * be implicit, and for one whose ancestor is explicit, too.
 */
int metadata_choose(const struct metadata *m, bool *chosen, struct err *e);

/* The explicit component that speaks for this one, or METADATA_NONE. */
size_t metadata_managing(const struct metadata *m, const bool *chosen,
			 size_t component);

/* May it be restored by itself, after a backup with this choice? */
bool metadata_may_restore(const struct metadata *m, const bool *chosen,
			  size_t component);

/* --- types and masks -------------------------------------------------------- */

/* The type a session of this type has for the writer: that one, or full. */
enum metadata_type metadata_effective(const struct metadata *m,
				      enum metadata_type type);

/* Does a backup of this (effective) type have to hold these files as of now? */
bool metadata_required(const struct metadata_files *f, enum metadata_type type);

/* Does it have to read them from the snapshot? */
bool metadata_snapshot_only(const struct metadata_files *f,
			    enum metadata_type type);

/* --- files ------------------------------------------------------------------ */

/* The file set that says exactly this, or NULL. */
const struct metadata_files *metadata_find_files(const struct metadata *m,
						 const char *dir,
						 const char *pattern,
						 bool recursive);

/* Does the path (absolute, normal) fit? */
bool metadata_fits(const struct metadata_spec *spec, const char *path);

/* Can there be a file that fits both? */
bool metadata_overlap(const struct metadata_spec *a,
		      const struct metadata_spec *b);

/* Does the writer exclude the path? */
bool metadata_excludes(const struct metadata *m, const char *path);

/* Where a file lies, seen from a component and the members of its set. */
enum metadata_place {
	PLACE_OWN,     /* in one of their file sets */
	PLACE_OTHER,   /* in none, but in one of another component */
	PLACE_BENEATH, /* in no file set, but where one of theirs looks */
	PLACE_OUTSIDE, /* somewhere else */
};
enum metadata_place metadata_place(const struct metadata *m, size_t component,
				   const char *path);

/* --- statements ------------------------------------------------------------- */

/*
 * Judge a statement against the document.  `type` is that of the session,
 * 0 outside one.  ENOENT: no such component; EOPNOTSUPP: the schema does not
 * have what a differenced file needs; EINVAL: the component never has a
 * record of its own, the file is another component's, or a differenced entry
 * overlaps file sets without being one.
 */
int metadata_judge(const struct metadata *m, const struct statement *s,
		   enum metadata_type type, struct err *e);

#endif
