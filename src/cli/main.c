/* main.c - sluice COMMAND ...: finds the command's row and runs it. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"

#define ENGINE_HELP                                                                                          \
    "  -t, --threads N    computing threads (default: what the machine allows)\n"                            \
    "      --isa LEVEL    instruction-set level: ref, avx2, avx512, ...\n"                                   \
    "      --context N    longest prompt plus answer, in tokens\n"                                           \
    "      --kv-type T    precision of the KV cache: i16, f16, bf16, q8_0\n"

const struct command commands[] = {
    {"serve", cmd_serve, "[-c FILE] [--listen ADDR] [-m [NAME=]GGUF]...", "Serve models over HTTP.",
     "Without -c and -m: the built-in demo model on 127.0.0.1:8080, no key needed.\n\n"
     "  -c, --config FILE  configuration (YAML); default: $SLUICE_CONFIG\n"
     "  -m, --model M      serve a GGUF file under its stem, or under NAME with NAME=FILE\n"
     "      --preload      load models at once instead of at their first request\n"
     "      --OPTION V     any option of `sluice config --docs` that names a flag\n"},
    {"run", cmd_run, "MODEL [PROMPT]", "Answer a prompt, or chat on a terminal.",
     "MODEL is a GGUF file, 'demo', hf:OWNER/REPO[:FILE] (pulled first if it is not there), or URL/NAME of "
     "a\n"
     "running server (http://127.0.0.1:8080/demo).\n"
     "Without PROMPT: standard input, or a chat if that is a terminal.\n\n"
     "      --system TEXT  system prompt\n"
     "  -n, --max-tokens N at most so many tokens\n"
     "      --temperature X, --top-p X, --top-k N, --min-p X, --repeat-penalty X, --seed N\n"
     "      --stop TEXT    end the answer here (may be repeated)\n"
     "      --draft FILE   a smaller model of the same vocabulary that guesses ahead; ngram: guess\n"
     "                     from the text itself (default); off.  It never changes an answer\n"
     "      --kv-cache-dir DIR  keep computed prompts there for the next time\n"
     "      --raw          no chat template: continue the text as it stands\n"
     "      --stats        tokens per second to stderr\n" ENGINE_HELP},
    {"bench", cmd_bench, "MODEL [-p N] [-n N] [-b N] [-t N] [--json]", "Measure prompt and generation speed.",
     "  -p N               prompt tokens (512; 0: skip)\n"
     "  -n N               generated tokens (128; 0: skip)\n"
     "  -b N               streams at once (1)\n"
     "  -d, --depth N      tokens in the KV cache before measuring (0)\n"
     "  -r, --repetitions N  (5)\n"
     "      --draft FILE   also what guessing is worth: FILE a smaller model of the same vocabulary,\n"
     "                     or ngram; pairs of answers with and without it\n"
     "      --prompt-file FILE  the text that is gone on with there (default: a list to copy)\n"
     "      --json         the result as JSON, with the share of this machine's limits\n" ENGINE_HELP},
    {"inspect", cmd_inspect, "MODEL [--json] [--tensors]",
     "Architecture, sizes, quantisation, tokenizer, chat template.", NULL},
    {"quantize", cmd_quantize, "IN OUT TYPE", "Write a GGUF file with its weights in another type.",
     "TYPE: q4_0, q4_k_m, q5_k_m, q6_k, q8_0, f16, ... (an unknown one lists all)\n"},
    {"convert", cmd_convert, "HF_DIR OUT", "Hugging Face safetensors to GGUF.", NULL},
    {"pull", cmd_pull, "hf:OWNER/REPO[:FILE] [--revision R] [--models-dir DIR] [-c FILE]",
     "Download a model from a hub into the folder of models.",
     "FILE is a GGUF file of the repository, or a word of its name, such as Q4_K_M.  Without it: the\n"
     "only model there, else the first of Q4_K_M, Q5_K_M, Q4_K_S, Q4_0, Q6_K, Q8_0, BF16, F16 that is there "
     "once.\n"
     "The parts of a split model come together.  What was interrupted goes on where it stopped; every "
     "file's\n"
     "SHA-256 is checked.  Prints the path, for `sluice run` and `serve -m`; they also know "
     "hf:OWNER/REPO:FILE.\n\n"
     "      --revision R       branch, tag or commit (main)\n"
     "      --models-dir DIR   default: models_dir of the configuration, else "
     "$XDG_DATA_HOME/sluice/models\n\n"
     "HF_TOKEN: for private and gated repositories.  HF_ENDPOINT: another hub.  HTTPS_PROXY is honoured.\n"},
    {"key", cmd_key, "create|list|revoke [-c FILE] ...", "Virtual keys: who may ask, and how much.",
     "create --name NAME   prints the new key, once and never again\n"
     "      --user U             whose requests these are, unless they say it themselves\n"
     "      --rpm N, --tpm N     requests and tokens per minute\n"
     "      --concurrency N      requests at a time\n"
     "      --budget USD         and --per hour|day|month\n"
     "      --token-budget N     tokens in the same window\n"
     "      --max-output-tokens N\n"
     "      --user-rpm N, --user-tpm N, --user-concurrency N, --user-budget USD, --user-token-budget N,\n"
     "      --user-per hour|day|month   the same for each `user` that requests of this key name\n"
     "      --models A,B         only these (PROVIDER/* for all of a provider)\n"
     "      --regions EU,US      only targets there\n"
     "      --priority high|normal|low\n"
     "      --group G            keys of a group share cached answers\n"
     "      --expires 30d, --metadata K=V, --json\n"
     "list [--json]\n"
     "revoke NAME|ID\n\n"
     "  -c, --config FILE  whose state it is; default: $SLUICE_CONFIG, else the default state\n"},
    {"usage", cmd_usage, "[-c FILE] [--by key,user,model,...] [--since 24h] [--json|--csv]",
     "Who spent what.",
     "      --by LIST      key, user, model, provider, endpoint, hour, day (default: key)\n"
     "      --since TIME   back from now (default: 30d)\n"
     "  -c, --config FILE  whose state it is; default: $SLUICE_CONFIG, else the default state\n"},
    {"check", cmd_check, "-c FILE", "Say every fault of a configuration with its line; start nothing.", NULL},
    {"config", cmd_config, "--docs | --example | --providers",
     "Print the reference of all options, a commented example file, or the table of provider kinds.", NULL},
    {0},
};

static int usage(FILE *to)
{
    fputs("Sluice " SLUICE_VERSION
          ", an inference engine and gateway for language models.\n\nusage: sluice COMMAND ...\n\n",
          to);
    for (const struct command *c = commands; c->name; c++)
        fprintf(to, "  %-9s %s\n", c->name, c->summary);
    fputs("\nsluice COMMAND --help says more.\n", to);
    return to == stdout ? EXIT_OK : EXIT_USAGE;
}

static const struct command *find(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        puts("sluice " SLUICE_VERSION);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        const struct command *c = argc > 2 ? find(argv[2]) : NULL;
        return c ? cli_help(c) : usage(stdout);
    }
    const struct command *c = find(argv[1]);
    if (!c) {
        cli_fail(EXIT_USAGE, "there is no command '%s'", argv[1]);
        return usage(stderr);
    }
    if (wants_help(argc, argv))
        return cli_help(c);
    struct args a = {.n = argc, .at = 2, .v = argv, .command = c->name};
    return c->run(&a);
}
