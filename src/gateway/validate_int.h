/* validate_int.h - What the files of the phase `validate` share. */
#ifndef GATEWAY_VALIDATE_INT_H
#define GATEWAY_VALIDATE_INT_H

#include "gateway/validate.h"
#include "gateway/validate_stream.h"
#include "grammar/schema_check.h"
#include "net/worker.h"

struct checked_schema {
    struct schema *schema; /* NULL: none was given */
    struct schema_checker *checker;
};

/* Text of the request that an answer may cite. */
struct source {
    bool is_search;    /* a search result; else a document: each kind is numbered on its own */
    bool is_known;     /* its text is in the request (and not behind an address or in a PDF) */
    struct str name;   /* a search result's address */
    struct str folded; /* its text, white space folded */
};

/* The text of one choice of a stream that is not held. */
struct stream_text {
    struct stream_check syntax;
    struct buf text; /* so far; only kept where there is a schema */
    size_t n_checked;
};

/* Owner: the request's loop thread, but the worker's while r->is_judging. */
struct validation {
    struct gw_request *r;
    struct work work;          /* what would hold the loop: preparing, or judging a whole answer */
    struct chat_error refusal; /* of preparing: what of the request cannot be checked */
    int rc;                    /* of preparing */
    bool is_brief;             /* this check may take a millisecond, no more */
    bool is_undecided;         /* that was not enough */
    bool is_good;              /* of judging */
    size_t brief_bytes_left;   /* of sources to be searched in a brief check */
    int64_t deadline_ns;       /* of a whole one */
    bool wants_json;           /* the answer's text must be JSON */
    bool wants_object;         /* ...and an object */
    struct str begun; /* the answer goes on with this text of the request's; p == NULL: it begins anew */
    struct checked_schema answer;
    bool checks_tools, has_foreign_tools; /* foreign: the provider runs tools of its own */
    struct checked_schema *tools;         /* as req->tools */
    size_t n_tools;
    struct source *sources;
    size_t n_sources;
    bool checks_citations;

    /* what was wrong last */
    const char *what; /* schema, tool, citation: a label of the metric */
    char why[ERR_TEXT_MAX];
    bool is_call; /* it was in a tool call, so the text of the answer is not to be quoted */

    /* asking again */
    int64_t n_again;                    /* of all targets */
    int asked_at;                       /* at_route of the target that was asked again; -1: none */
    struct arena arena;                 /* of the request that is asked again */
    struct chat_answer const *answered; /* to be quoted: borrowed from the collector */

    /* a stream that is not held: by choice */
    struct stream_text *streams;
    int n_streams;
};

/* A check begins, brief or not: see is_brief. */
void validate_set_brief(struct validation *v, bool is_brief);

/* validate_check.c: the first fault of a choice, in v->what and v->why; true if there is none.  False too
 * where v->is_undecided. */
bool validate_choice(struct validation *v, const struct chat_request *req, const struct chat_choice *c);
bool validate_choice_is_cut(const struct chat_choice *c);
/* White space folded to single spaces, none at the ends; p == NULL without memory. */
struct str validate_fold(struct str text, struct arena *a);

/* validate_again.c: the request with a turn behind it that quotes the fault; NULL: not possible. */
struct chat_request *validate_quote(struct gw_request *r);

#endif
