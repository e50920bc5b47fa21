#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "src/writer/term.h"

#include "src/writer/metadata.h"

#include <string.h>

const struct term term_usages[] = {
	{ "bootable-system-state", USAGE_BOOTABLE_SYSTEM_STATE },
	{ "system-service", USAGE_SYSTEM_SERVICE },
	{ "user-data", USAGE_USER_DATA },
	{ "other", USAGE_OTHER },
	{ NULL, 0 },
};

const struct term term_sources[] = {
	{ "transacted-database", SOURCE_TRANSACTED_DATABASE },
	{ "non-transacted-database", SOURCE_NON_TRANSACTED_DATABASE },
	{ "other", SOURCE_OTHER },
	{ NULL, 0 },
};

const struct term term_levels[] = {
	{ "system", LEVEL_SYSTEM },
	{ "back-end", LEVEL_BACK_END },
	{ "front-end", LEVEL_FRONT_END },
	{ NULL, 0 },
};

const struct term term_schemas[] = {
	{ "differential", SCHEMA_DIFFERENTIAL },
	{ "incremental", SCHEMA_INCREMENTAL },
	{ "exclusive", SCHEMA_EXCLUSIVE },
	{ "log", SCHEMA_LOG },
	{ "copy", SCHEMA_COPY },
	{ "timestamped", SCHEMA_TIMESTAMPED },
	{ "last-modify", SCHEMA_LAST_MODIFY },
	{ "lsn", SCHEMA_LSN },
	{ "new-target", SCHEMA_NEW_TARGET },
	{ "restore-with-move", SCHEMA_RESTORE_WITH_MOVE },
	{ "independent-system-state", SCHEMA_INDEPENDENT_SYSTEM_STATE },
	{ "rollforward-restore", SCHEMA_ROLLFORWARD_RESTORE },
	{ "restore-rename", SCHEMA_RESTORE_RENAME },
	{ "authoritative-restore", SCHEMA_AUTHORITATIVE_RESTORE },
	{ "parallel-restores", SCHEMA_PARALLEL_RESTORES },
	{ NULL, 0 },
};

const struct term term_methods[] = {
	{ "restore-if-not-there", METHOD_RESTORE_IF_NOT_THERE },
	{ "restore-if-can-replace", METHOD_RESTORE_IF_CAN_REPLACE },
	{ "stop-restore-start", METHOD_STOP_RESTORE_START },
	{ "restore-to-alternate-location",
	  METHOD_RESTORE_TO_ALTERNATE_LOCATION },
	{ "restore-at-reboot", METHOD_RESTORE_AT_REBOOT },
	{ "restore-at-reboot-if-cannot-replace",
	  METHOD_RESTORE_AT_REBOOT_IF_CANNOT_REPLACE },
	{ "custom", METHOD_CUSTOM },
	{ "restore-stop-start", METHOD_RESTORE_STOP_START },
	{ NULL, 0 },
};

const struct term term_events[] = {
	{ "never", EVENTS_NEVER },
	{ "if-replace-fails", EVENTS_IF_REPLACE_FAILS },
	{ "always", EVENTS_ALWAYS },
	{ NULL, 0 },
};

const struct term term_component_types[] = {
	{ "database", COMPONENT_DATABASE },
	{ "file-group", COMPONENT_FILE_GROUP },
	{ NULL, 0 },
};

const struct term term_file_sets[] = {
	{ "files", FILES_PLAIN },
	{ "database-files", FILES_DATABASE },
	{ "log-files", FILES_LOG },
	{ NULL, 0 },
};

const struct term term_answers[] = {
	{ "no", 0 },
	{ "yes", 1 },
	{ NULL, 0 },
};

const struct term term_recoveries[] = {
	{ "log", 1 },
	{ NULL, 0 },
};

const struct term term_backup_types[] = {
	{ "full", METADATA_FULL },
	{ "differential", METADATA_DIFFERENTIAL },
	{ "incremental", METADATA_INCREMENTAL },
	{ "log", METADATA_LOG },
	{ "copy", METADATA_COPY },
	{ NULL, 0 },
};

const struct term term_component_flags[] = {
	{ "backup-recovery", COMPONENT_BACKUP_RECOVERY },
	{ "rollback-recovery", COMPONENT_ROLLBACK_RECOVERY },
	{ "not-system-state", COMPONENT_NOT_SYSTEM_STATE },
	{ "unlogged-hints", COMPONENT_UNLOGGED_HINTS },
	{ "notify-on-backup-complete", COMPONENT_NOTIFY },
	{ "restore-metadata", COMPONENT_RESTORE_METADATA },
	{ NULL, 0 },
};

const struct term *
term_find(const struct term *t, const char *name, size_t len)
{
	for (; t->name != NULL; t++)
		if (strlen(t->name) == len && memcmp(t->name, name, len) == 0)
			return t;
	return NULL;
}

const char *
term_name(const struct term *t, unsigned value)
{
	while (t->name != NULL && t->value != value)
		t++;
	return t->name;
}
