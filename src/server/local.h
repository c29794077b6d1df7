/* local.h - The models of this process behind the gateway's seam (gateway/local.h).
 *
 * A registry of names and files.  A model is loaded when it is first asked for, by a thread of
 * its own, and unloaded when nobody used it for a while (engine.idle_unload). */
#ifndef SERVER_LOCAL_H
#define SERVER_LOCAL_H

#include <stdbool.h>

#include "base/err.h"
#include "gateway/config.h"
#include "gateway/local.h"

struct local;

/* The registry for this configuration: -m models, the demo model where nothing else is served,
 * and the files that `local` targets name.  NULL and *err if a name is given twice or no memory. */
struct local *local_create(const struct config *config, struct err *err);
/* No call runs any more.  Accepts NULL. */
void local_free(struct local *l);

/* What the gateway sees; lives as long as `l`. */
const struct local_engine *local_engine_of(struct local *l);

/* Register what a new configuration names and the old one did not. */
int local_update(struct local *l, const struct config *config, struct err *err);

/* Begin loading every served model now instead of at its first request. */
void local_preload(struct local *l);

/* Refresh the gauges sluice_engine_... (before an export). */
void local_observe(struct local *l);

/* The model that is built in; n == 0 if this build has none. */
struct str local_demo_gguf(void);

#endif
