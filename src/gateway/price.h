/* price.h - What tokens cost.  Integers only: pico-dollars per token, summed, rounded once. */
#ifndef GATEWAY_PRICE_H
#define GATEWAY_PRICE_H

#include "api/chat.h"
#include "base/err.h"
#include "gateway/config.h"

/* Fill what a price leaves open: cached input = input; cache writes = input, for Anthropic 1.25
 * and 2 times input. */
struct config_price price_complete(struct config_price p, bool is_anthropic);

/* Nano-dollars of an account, rounded half up; 0 if the price is not known. */
int64_t price_cost_nano(const struct config_price *p, const struct token_account *t);
/* The most that so many tokens can cost. */
int64_t price_most_nano(const struct config_price *p, int64_t input_tokens, int64_t output_tokens);

/* A file in the community's format: {"MODEL": {"input_cost_per_token": 1e-6, ...}, ...}. */
struct price_table;
struct price_table *price_table_load(const char *path, struct err *err);
void price_table_free(struct price_table *t); /* accepts NULL */
/* "provider/model" first, then "model".  False if it is not there. */
bool price_table_find(const struct price_table *t, struct str provider, struct str model,
                      struct config_price *p, int64_t *context);

#endif
