/* property.h - The characters of a Unicode property, as the validator of patterns sees them. */
#ifndef GRAMMAR_PROPERTY_H
#define GRAMMAR_PROPERTY_H

#include "grammar/charset.h"

/* Add those of `escape` ("\p{L}", "\P{Script=Greek}").  Some milliseconds.  ERR_UNSUPPORTED (`why` tells
 * the end of a sentence), ERR_NOMEM. */
int property_add(struct charset_builder *b, struct str escape, char *why, size_t why_bytes);

#endif
