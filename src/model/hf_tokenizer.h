/* hf_tokenizer.h - The tokenizer of a Hugging Face folder as GGUF keys. */
#ifndef MODEL_HF_TOKENIZER_H
#define MODEL_HF_TOKENIZER_H

#include "base/json.h"
#include "model/gguf_write.h"

/* Read tokenizer.json (byte-level BPE, or SentencePiece-like BPE with byte fallback) and, where
 * they are, tokenizer_config.json and chat_template.jinja from `folder`, and write the tokenizer.*
 * keys.  `config` is the folder's config.json.  The vocabulary is padded to n_rows, the rows of
 * the embedding.  The pre-tokenizer is told by its regular expressions; an unknown one is an
 * error that shows it. */
int hf_tokenizer_write(struct gguf_writer *w, const char *folder, struct json config, uint32_t n_rows,
                       struct err *err);

/* Read `name` in `folder` as JSON into the arena.  ERR_NOT_FOUND if there is none; other errors
 * name the file. */
int hf_read_json(struct json_doc *doc, struct arena *arena, const char *folder, const char *name,
                 struct err *err);

#endif
