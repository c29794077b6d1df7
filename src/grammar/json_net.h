/* json_net.h - JSON as nodes of the net: white space, free strings and numbers, any value.
 *
 * Rules that are called (and end in NET_RET) are made when they are first needed and then shared. */
#ifndef GRAMMAR_JSON_NET_H
#define GRAMMAR_JSON_NET_H

#include "grammar/grammar.h"
#include "grammar/net.h"

struct json_net {
    struct net *net;
    enum grammar_space space;
    uint32_t char_rule, name_rule, value_rule; /* NET_NOTHING: not made yet */
    uint32_t blank_rule;
};

struct json_net json_net(struct net *net, enum grammar_space space);

/* White space inside braces and brackets, and behind ':' and ','. */
uint32_t json_net_blank(struct json_net *j, uint32_t next);
uint32_t json_net_blank_after(struct json_net *j, uint32_t next);

/* A string of min to max characters with any escapes, quotes included. */
uint32_t json_net_string(struct json_net *j, uint32_t min, uint32_t max, uint32_t next);
/* The name of a property, any: with the fewest escapes, so that each name has one spelling. */
uint32_t json_net_name(struct json_net *j, uint32_t next);
uint32_t json_net_number(struct json_net *j, uint32_t next);
uint32_t json_net_object(struct json_net *j, uint32_t next); /* any */
uint32_t json_net_array(struct json_net *j, uint32_t next);  /* any */
/* Any value; is_nested: inside another. */
uint32_t json_net_value(struct json_net *j, bool is_nested, uint32_t next);

#endif
