/* config_int.h - What the files that make a configuration share. */
#ifndef SERVER_CONFIG_INT_H
#define SERVER_CONFIG_INT_H

#include <yaml.h>

#include "server/config_load.h"
#include "server/options.h"

#define CONFIG_DEPTH_MAX 16

struct loader {
    struct config *config;
    const struct config_source *source;
    struct config_faults *faults;
    struct str file;
    yaml_document_t yaml;
    int n_visits;
};

/* `node` is a yaml_node_t; fields are set below `base`; `where` names the section in messages. */
void read_section(struct loader *ld, const struct option *section, void *node, char *base, int depth,
                  const char *where);

/* What no single option shows: names that refer to each other, combinations, derived values. */
void config_check(struct loader *ld);

#endif
