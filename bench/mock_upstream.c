/* mock_upstream.c - A provider that is never the bottleneck: fixed answers from one epoll loop.
 *
 *   mock_upstream PORT        (PORT 0: prints the one it got)
 *
 * POST /v1/chat/completions answers as OpenAI, POST /v1/messages as Anthropic; "stream":true gives
 * 64 deltas, each its own HTTP chunk and its own write: at once, or, where the model's name
 * contains "paced", 10 ms apart.  Used by bench/gateway.py only. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IN_BYTES   (256 * 1024)
#define CONNS_MAX  4096
#define N_DELTAS   64
#define EVENTS_MAX (N_DELTAS + 8)
#define PACE_NS    10000000
#define NS_PER_S   1000000000LL

struct part {
    char *p;
    size_t n;
};

struct answer {
    struct part parts[EVENTS_MAX + 1]; /* a stream: head, then one chunk each */
    int n;
};

struct conn {
    int fd;
    char in[IN_BYTES];
    size_t n;
    const struct answer *answer; /* being sent */
    int at;
    size_t at_byte;
    bool is_paced, waits_for_room;
    long long due_ns;
};

static struct answer whole[2], streams[2];
static struct conn *conns[CONNS_MAX];
static int poller, n_paced;

static long long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* ---- what is said ---- */

static void add_part(struct answer *a, const char *text)
{
    a->parts[a->n].p = strdup(text);
    a->parts[a->n++].n = strlen(text);
}

static void add_chunk(struct answer *a, const char *event)
{
    char text[2048];
    snprintf(text, sizeof text, "%zx\r\n%s\r\n", strlen(event), event);
    add_part(a, text);
}

/* Texts as they travel, in lines of their own. */
/* clang-format off */
static void add_whole(struct answer *a, const char *body)
{
    char text[2048];
    snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    add_part(a, text);
}

static const char words[] = "The quick brown fox jumps over the lazy dog and then it rests in the shade of an old tree. ";

static void make_openai(void)
{
    char text[1600];
    snprintf(text, sizeof text,
             "{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":"
             "\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s%s\","
             "\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":42,"
             "\"completion_tokens\":38,\"total_tokens\":80,\"prompt_tokens_details\":{\"cached_tokens\":0},"
             "\"completion_tokens_details\":{\"reasoning_tokens\":0}},\"system_fingerprint\":\"fp_0123456789\"}",
             words, words);
    add_whole(&whole[0], text);
    struct answer *s = &streams[0];
    add_part(s, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = -1; i <= N_DELTAS; i++) {
        char delta[64];
        snprintf(delta, sizeof delta, i < 0 ? "\"role\":\"assistant\",\"content\":\"\"" : "\"content\":\" word%d\"", i);
        snprintf(text, sizeof text,
                 "data: {\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":"
                 "1700000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\",\"system_fingerprint\":"
                 "\"fp_0123456789\",\"choices\":[{\"index\":0,\"delta\":{%s},\"logprobs\":null,\"finish_reason\":%s}]}\n\n",
                 i < N_DELTAS ? delta : "", i < N_DELTAS ? "null" : "\"stop\"");
        add_chunk(s, text);
    }
    add_chunk(s, "data: {\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"
                 "\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[],\"usage\":{\"prompt_tokens\":42,"
                 "\"completion_tokens\":64,\"total_tokens\":106}}\n\ndata: [DONE]\n\n");
    add_part(s, "0\r\n\r\n");
}

static void make_anthropic(void)
{
    char text[1600];
    snprintf(text, sizeof text,
             "{\"id\":\"msg_0123456789abcdef\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5\","
             "\"content\":[{\"type\":\"text\",\"text\":\"%s%s%s\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
             "\"usage\":{\"input_tokens\":42,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
             "\"output_tokens\":38,\"service_tier\":\"standard\"}}",
             words, words, words);
    add_whole(&whole[1], text);
    struct answer *s = &streams[1];
    add_part(s, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    add_chunk(s, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_0123456789abcdef\","
                 "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5\",\"content\":[],"
                 "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":42,\"output_tokens\":1}}}\n\n");
    add_chunk(s, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
                 "\"text\",\"text\":\"\"}}\n\n");
    for (int i = 0; i < N_DELTAS; i++) {
        snprintf(text, sizeof text,
                 "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
                 "\"text_delta\",\"text\":\" word%d\"}}\n\n",
                 i);
        add_chunk(s, text);
    }
    add_chunk(s, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n");
    add_chunk(s, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
                 "\"stop_sequence\":null},\"usage\":{\"output_tokens\":64}}\n\n");
    add_chunk(s, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    add_part(s, "0\r\n\r\n");
}
/* clang-format on */

/* ---- connections ---- */

static void watch(struct conn *c, bool out)
{
    struct epoll_event ev = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &ev);
    c->waits_for_room = out;
}

static void drop(struct conn *c)
{
    n_paced -= c->answer && c->is_paced;
    conns[c->fd] = NULL;
    close(c->fd);
    free(c);
}

/* Sends parts until it is done, the socket is full, or the pace asks for a rest.  False: broken. */
static bool go_on(struct conn *c)
{
    while (c->answer && c->at < c->answer->n) {
        const struct part *p = &c->answer->parts[c->at];
        ssize_t n = send(c->fd, p->p + c->at_byte, p->n - c->at_byte, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return false;
        c->at_byte += n > 0 ? (size_t)n : 0;
        if (c->at_byte < p->n) {
            watch(c, true);
            return true;
        }
        c->at_byte = 0;
        c->at++;
        if (c->is_paced && c->at > 1 && c->at + 1 < c->answer->n) {
            c->due_ns += PACE_NS;
            return true;
        }
    }
    n_paced -= c->is_paced;
    c->answer = NULL;
    c->is_paced = false;
    if (c->waits_for_room)
        watch(c, false);
    return true;
}

static bool has(const char *p, size_t n, const char *word)
{
    size_t edge = n < 512 ? n : 512;
    return memmem(p, edge, word, strlen(word)) || memmem(p + n - edge, edge, word, strlen(word));
}

static bool take_requests(struct conn *c)
{
    while (!c->answer) {
        char *end = memmem(c->in, c->n, "\r\n\r\n", 4);
        if (!end)
            return true;
        *end = 0;
        const char *length = strcasestr(c->in, "\r\ncontent-length:");
        size_t head = (size_t)(end - c->in) + 4, body = length ? strtoul(length + 17, NULL, 10) : 0;
        *end = '\r';
        if (head + body > c->n)
            return head + body <= IN_BYTES;
        int dialect = memmem(c->in, head, "/v1/messages", 12) != NULL;
        bool is_stream = has(c->in + head, body, "\"stream\":true");
        c->is_paced = is_stream && has(c->in + head, body, "paced");
        c->answer = is_stream ? &streams[dialect] : &whole[dialect];
        c->at = 0;
        c->at_byte = 0;
        c->due_ns = now_ns();
        n_paced += c->is_paced;
        memmove(c->in, c->in + head + body, c->n - head - body);
        c->n -= head + body;
        if (!go_on(c))
            return false;
    }
    return true;
}

static bool serve(struct conn *c, unsigned events)
{
    if (events & EPOLLIN) {
        ssize_t n = recv(c->fd, c->in + c->n, IN_BYTES - c->n, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return false;
        c->n += n > 0 ? (size_t)n : 0;
    }
    if ((events & EPOLLOUT) && !go_on(c))
        return false;
    return take_requests(c);
}

static void accept_all(int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct conn *c = fd < CONNS_MAX ? calloc(1, sizeof *c) : NULL;
        if (!c) {
            close(fd);
            continue;
        }
        c->fd = fd;
        conns[fd] = c;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev);
    }
}

static void serve_paced(void)
{
    long long now = now_ns();
    for (int i = 0; i < CONNS_MAX && n_paced; i++) {
        struct conn *c = conns[i];
        if (c && c->answer && c->is_paced && c->due_ns <= now && !c->waits_for_room &&
            (!go_on(c) || !take_requests(c)))
            drop(c);
    }
}

int main(int argc, char **argv)
{
    make_openai();
    make_anthropic();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)(argc > 1 ? strtoul(argv[1], NULL, 10) : 0)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof at;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, n) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&at, &n)) {
        perror("mock_upstream");
        return 1;
    }
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    poller = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &ev);
    for (;;) {
        struct epoll_event events[256];
        int got = epoll_wait(poller, events, 256, n_paced ? 1 : -1);
        for (int i = 0; i < got; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c)
                accept_all(listener);
            else if (!serve(c, events[i].events))
                drop(c);
        }
        if (n_paced)
            serve_paced();
    }
}
