/* chat.c - A conversation on a terminal: history, line editing, multi-line text, Ctrl-C stops the
 * answer and not the program. */
#include <editline/readline.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "base/sys.h"
#include "cli/talk.h"

#define TEXT_MAX      ((size_t)16 << 20)
#define HISTORY_LINES 1000

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signum)
{
    (void)signum;
    interrupted = 1;
}

struct chat {
    struct talk *talk;
    const struct talk_options *o;
    struct buf messages; /* a JSON array without its closing bracket */
    char *system;
    bool show_stats;
};

static void add_message(struct chat *c, const char *role, struct str text)
{
    struct json_writer w = json_writer(&c->messages);
    if (c->messages.n > 1)
        buf_putc(&c->messages, ',');
    jw_begin_object(&w);
    jw_kv_z(&w, "role", role);
    jw_kv_str(&w, "content", text);
    jw_end_object(&w);
}

static void start_over(struct chat *c)
{
    buf_clear(&c->messages);
    buf_putc(&c->messages, '[');
    if (c->system && c->system[0])
        add_message(c, "system", str_c(c->system));
}

static void say_stats(const struct talk_stats *s)
{
    double fresh = (double)(s->prompt_tokens - s->cached_tokens);
    fprintf(stderr, "[prompt %lld tokens, %lld cached, %.0f tokens/s; answer %lld tokens, %.1f tokens/s]\n",
            (long long)s->prompt_tokens, (long long)s->cached_tokens,
            s->prompt_s > 0 ? fresh / s->prompt_s : 0, (long long)s->answer_tokens,
            s->answer_s > 0 && s->answer_tokens > 1 ? (double)(s->answer_tokens - 1) / s->answer_s : 0);
}

static void ask(struct chat *c, struct str text)
{
    struct buf answer;
    struct talk_stats stats = {0};
    size_t before = c->messages.n;
    buf_init(&answer, TEXT_MAX);
    add_message(c, "user", text);
    size_t asked = c->messages.n;
    buf_putc(&c->messages, ']');
    interrupted = 0;
    int rc = talk_answer(c->talk, buf_str(&c->messages), &answer, &interrupted, &stats);
    printf("\n");
    c->messages.n = asked;
    if (rc == EXIT_OK)
        add_message(c, "assistant", buf_str(&answer));
    else
        c->messages.n = before; /* as if it had not been asked */
    if (interrupted)
        fprintf(stderr, "[stopped]\n");
    if (c->show_stats && rc == EXIT_OK)
        say_stats(&stats);
    buf_deinit(&answer);
}

/* One entry: a line, lines joined by a backslash at their end, or everything between two
 * lines of three double quotes.  False at the end of input. */
static bool read_entry(struct buf *text)
{
    buf_clear(text);
    bool quoted = false;
    const char *prompt = "> ";
    for (;;) {
        char *line = readline(prompt);
        if (!line)
            return text->n > 0;
        struct str s = str_c(line);
        bool fence = str_eq(str_trim(s), S("\"\"\""));
        bool more = !quoted && str_ends(s, S("\\"));
        if (fence)
            quoted = !quoted;
        else
            buf_add(text, s.p, more ? s.n - 1 : s.n);
        free(line);
        if (!quoted && !more)
            return true;
        if (!fence)
            buf_putc(text, '\n');
        prompt = ". ";
    }
}

/* True if the text was a command of the chat itself; *end when it was the last one. */
static bool run_command(struct chat *c, struct str text, bool *end)
{
    struct str rest = text, word;
    if (!text.n || text.p[0] != '/' || !str_split(&rest, ' ', &word))
        return false;
    if (str_eq(word, S("/exit")) || str_eq(word, S("/quit")) || str_eq(word, S("/bye"))) {
        *end = true;
    } else if (str_eq(word, S("/clear"))) {
        start_over(c);
        printf("A new conversation.\n");
    } else if (str_eq(word, S("/stats"))) {
        c->show_stats = !c->show_stats;
    } else if (str_eq(word, S("/system"))) {
        free(c->system);
        c->system = str_dup_z(rest.p ? str_trim(rest) : S(""));
        start_over(c);
        printf("A new conversation with this system prompt.\n");
    } else {
        printf("/clear          forget the conversation\n"
               "/system TEXT    begin again with a system prompt\n"
               "/stats          show or hide tokens per second\n"
               "/exit           or Ctrl-D\n"
               "A backslash at the end of a line continues it; \"\"\" begins and ends several lines.\n"
               "Ctrl-C stops an answer.\n");
    }
    return true;
}

static bool history_file(struct buf *path)
{
    buf_init(path, 8192);
    if (!config_state_folder(config_env, path) || sys_make_folders(buf_z(path), NULL) != OK)
        return false;
    return buf_puts(path, "/history");
}

int chat_run(struct talk *t, const char *name, const struct talk_options *o, bool show_stats)
{
    struct chat c = {.talk = t, .o = o, .show_stats = show_stats};
    struct buf text, path;
    buf_init(&c.messages, TEXT_MAX);
    buf_init(&text, TEXT_MAX);
    c.system = str_dup_z(str_c(o->system));
    start_over(&c);
    struct sigaction on_int = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &on_int, NULL);
    bool has_history = history_file(&path);
    using_history();
    stifle_history(HISTORY_LINES);
    if (has_history)
        read_history(buf_z(&path));
    printf("Chatting with %s. /help says what else is possible.\n", name);
    for (bool end = false; !end && read_entry(&text);) {
        struct str s = str_trim(buf_str(&text));
        if (s.n == 0)
            continue;
        add_history(buf_z(&text));
        if (!run_command(&c, s, &end))
            ask(&c, s);
    }
    if (has_history)
        write_history(buf_z(&path));
    buf_deinit(&path);
    buf_deinit(&text);
    buf_deinit(&c.messages);
    free(c.system);
    printf("\n");
    return EXIT_OK;
}
