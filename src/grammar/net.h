/* net.h - The automaton: a network of small byte automata that call each other.
 *
 * Nodes are built from the end of the text to its beginning: every net_ function takes the node
 * that follows and returns the node to begin at.  Calls give recursion, loops count their rounds on
 * the stack, so {0,10000} costs one node.  NET_NOTHING is the node that nothing passes.
 *
 * A net that is being built never fails in the middle: past its limits it goes bad, every further
 * call returns NET_NOTHING, and net_finish says so.  After net_finish it is read-only. */
#ifndef GRAMMAR_NET_H
#define GRAMMAR_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum {
    NET_NOTHING = 0, /* no text */
    NET_ACCEPT = 1,  /* the end of the whole text */
    NET_RET = 2      /* the end of a rule or of a loop's body */
};

enum net_op {
    NET_OP_NOTHING,
    NET_OP_ACCEPT,
    NET_OP_RET,
    NET_OP_BYTES,
    NET_OP_SPLIT,
    NET_OP_JUMP,
    NET_OP_CALL,
    NET_OP_LOOP,
    NET_OP_METER, /* a body that counts its characters */
    NET_OP_COUNT  /* one more of them */
};

#define NET_NO_MAX      UINT32_MAX
#define NET_HEIGHT_MAX  960 /* sum of the weights of the calls on a stack */
#define NET_WEIGHT_JSON 8   /* a value inside a value */
#define NET_WEIGHT_RULE 1   /* a rule of GBNF */
#define NET_HOPELESS    UINT32_MAX

struct net_edge {
    uint8_t lo, hi; /* bytes lo to hi lead to `to`; edges of a node are sorted and disjoint */
    uint32_t to;
};

struct net_node {
    uint8_t op;
    bool is_json;      /* between json_from and the end of a part that is JSON */
    bool is_plain;     /* LOOP: its body is any character; BYTES: see net_set_plain */
    uint16_t weight;   /* CALL */
    uint32_t a, b;     /* BYTES: first edge, number; SPLIT: two ways; JUMP: a; CALL: rule, then;
                        * LOOP: body, then */
    uint32_t min, max; /* LOOP: rounds; METER: characters; COUNT: how many more can follow in the body */
    uint32_t height;   /* least stack weight with which the rest of the rule can be passed; NET_HOPELESS */
};

struct net {
    struct net_node *nodes;
    uint32_t n_nodes, nodes_cap, nodes_max;
    struct net_edge *edges;
    uint32_t n_edges, edges_cap;
    bool is_bad;
    int bad_code;        /* ERR_LIMIT or ERR_NOMEM */
    int64_t deadline_ns; /* of clock_thread_cpu_ns: a busy machine is no large schema; 0: none */
    uint32_t n_asked;    /* how often net_is_good was */
    uint32_t start;
    bool has_free_names;   /* of properties: see names.h */
    uint8_t class_of[256]; /* bytes that no node tells apart have the same class */
    uint32_t n_classes;
    uint8_t class_byte[256]; /* a byte of each class */
};

int net_init(struct net *net, uint32_t nodes_max, int64_t deadline_ns); /* ERR_NOMEM */
void net_deinit(struct net *net);

/* The text `s`, then next. */
uint32_t net_text(struct net *net, struct str s, uint32_t next);
uint32_t net_byte(struct net *net, uint8_t lo, uint8_t hi, uint32_t next);
/* edges[n]: sorted and disjoint; those to NET_NOTHING are left out. */
uint32_t net_bytes(struct net *net, const struct net_edge *edges, uint32_t n);
uint32_t net_either(struct net *net, uint32_t a, uint32_t b);
/* `rule` ends in NET_RET. */
uint32_t net_call(struct net *net, uint32_t rule, uint16_t weight, uint32_t next);
/* min to max (NET_NO_MAX) rounds of body, which ends in NET_RET. */
uint32_t net_loop(struct net *net, uint32_t body, uint32_t min, uint32_t max, bool is_plain, uint32_t next);
/* A body of min to max (NET_NO_MAX) characters; it ends in NET_RET and has a net_count behind each
 * character, with the least and the most that can follow it (of the numbers between no more than max - min in
 * a row may be impossible). */
uint32_t net_meter(struct net *net, uint32_t body, uint32_t min, uint32_t max, uint32_t next);
uint32_t net_count(struct net *net, uint32_t least, uint32_t most, uint32_t next);
/* A node whose way is told later by net_set_jump, for rules that are called before they are made. */
uint32_t net_jump(struct net *net);
void net_set_jump(struct net *net, uint32_t jump, uint32_t to);

/* A node of bytes: any characters of net_byte_is_plain may follow it, as many as one likes. */
void net_set_plain(struct net *net, uint32_t node, bool is_plain);
/* The nodes made since `from` (an earlier n_nodes) are those of a part that is JSON. */
void net_mark_json(struct net *net, uint32_t from);

/* True while there is room and time; a builder of many nodes asks now and then. */
bool net_is_good(struct net *net);

/* Find out heights and byte classes.  ERR_LIMIT, ERR_NOMEM if the net went bad; ERR_ARG if no text
 * at all is possible; ERR_FORMAT with *cycle set to a node where a rule begins with itself. */
int net_finish(struct net *net, uint32_t start, uint32_t *cycle);

/* Characters that a JSON string has as they are: not control characters, '"' and '\\'. */
static inline bool net_byte_is_plain(uint8_t b)
{
    return b >= 0x20 && b != '"' && b != '\\';
}

#endif
