/* providers.h - The table of provider kinds: address, dialect, credentials, quirks.
 *
 * A kind is a row.  A provider needs a code file of its own only for signing or for quirks that
 * no column says. */
#ifndef GATEWAY_PROVIDERS_H
#define GATEWAY_PROVIDERS_H

#include "api/dialect.h"
#include "gateway/config.h"

struct provider_kind {
    const char *name;
    enum dialect_id dialect; /* of generation; DIALECT_NONE: the local engine */
    const char *base_url;    /* NULL: must be configured */
    const char *base_path;   /* added where a configured base_url has no path: /v1, /v1beta or "" */
    const char *auth_header; /* NULL: the dialect's */
    const char *auth_prefix;
    const char *continue_url; /* instead of base_url for continuing a begun answer; NULL: the same */
    uint32_t quirks;          /* enum dialect_quirk */
    bool needs_no_key;        /* a server of one's own */
    bool has_deployments;     /* Azure: with api_version, the model is part of the address */
    const char *otel_name;    /* gen_ai.provider.name */
};

extern const struct provider_kind provider_kinds[]; /* ended by a row without a name */
const struct provider_kind *provider_kind_find(struct str name);
/* All names, for messages: "openai, anthropic, ...". */
void provider_kinds_list(struct buf *out);
/* The table of docs/providers.md. */
void provider_kinds_write_docs(struct buf *out);

/* The dialect that a kind speaks for an operation; NULL if it has none. */
const struct dialect *provider_dialect(const struct provider_kind *kind, enum chat_op op);
/* The full address of a request: base, then `path` as the dialect wrote it.  is_continued: it begins the
 * answer itself. */
void provider_url(const struct provider_kind *kind, const struct config_provider *p, struct str model,
                  bool is_continued, struct str path, struct buf *out);

#endif
