/* template_int.h - A compiled template, for the files of the template's face. */
#ifndef TEXT_TEMPLATE_INT_H
#define TEXT_TEMPLATE_INT_H

#include "text/jinja_ast.h"
#include "text/template.h"

struct template
{
    struct arena arena;
    struct str source;
    struct jj_nodes body;
    struct jj_names names;
    struct template_caps caps;
};

/* template_render with other caps than the template's own. */
int template_render_with(const struct template *t, const struct template_caps *caps, struct arena *arena,
                         const struct template_input *in, struct template_output *out, struct err *err);

/* Find out t->caps by rendering a few small conversations. */
void template_probe(struct template *t);

#endif
