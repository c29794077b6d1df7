/* param_types.h - Which values may a parameter have, by its schema?
 *
 * Families that write arguments between tags write texts and other values alike.  Who makes the grammar
 * and who reads the answer must say the same of a parameter: both ask here. */
#ifndef ENGINE_PARAM_TYPES_H
#define ENGINE_PARAM_TYPES_H

#include "base/json.h"

enum {
    PARAM_TEXT = 1,
    PARAM_SCALAR = 2, /* numbers, true, false, null */
    PARAM_LIST = 4,
    PARAM_OBJECT = 8,
    PARAM_JSON = PARAM_SCALAR | PARAM_LIST | PARAM_OBJECT,
    PARAM_ANY = PARAM_TEXT | PARAM_JSON
};

/* `root` is the schema in which the parameter's references are looked up.  Never 0: a schema that says
 * nothing, or too much, leaves PARAM_ANY. */
unsigned param_types(struct json param, struct json root);
/* What a reference into $defs or definitions means; the schema itself if it is none. */
struct json param_resolve(struct json param, struct json root);

#endif
