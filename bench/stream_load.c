/* stream_load.c - Asks for streams over N connections, one after the other on each, and times them.
 *
 *   stream_load PORT N_CONNECTIONS SECONDS REQUEST_FILE
 *
 * REQUEST_FILE holds a whole HTTP request.  Prints one JSON object: streams, bytes, and the
 * percentiles of the first byte of body and of the whole stream in milliseconds.  A stream that
 * has no "[DONE]" or "message_stop" near its end counts as an error.  Used by bench/gateway.py. */
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

#define SAMPLES_MAX 1000000
#define TAIL_BYTES  256
#define NS_PER_S    1000000000LL

struct conn {
    int fd;
    char tail[TAIL_BYTES];
    size_t tail_n, seen;
    bool has_first;
    float first_ms;
    long long began_ns;
};

static char *request;
static size_t request_n;
static float first_ms[SAMPLES_MAX], total_ms[SAMPLES_MAX];
static long n_done, n_errors;
static unsigned long long n_bytes;
static char scratch[1 << 16];

static long long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static void ask(struct conn *c)
{
    c->tail_n = c->seen = 0;
    c->has_first = false;
    c->began_ns = now_ns();
    if (send(c->fd, request, request_n, MSG_NOSIGNAL) != (ssize_t)request_n)
        n_errors++;
}

static void keep_tail(struct conn *c, const char *p, size_t n)
{
    if (n >= TAIL_BYTES) {
        memcpy(c->tail, p + n - TAIL_BYTES, TAIL_BYTES);
        c->tail_n = TAIL_BYTES;
        return;
    }
    size_t keep = c->tail_n + n > TAIL_BYTES ? TAIL_BYTES - n : c->tail_n;
    memmove(c->tail, c->tail + c->tail_n - keep, keep);
    memcpy(c->tail + keep, p, n);
    c->tail_n = keep + n;
}

static bool read_some(struct conn *c)
{
    ssize_t n = recv(c->fd, scratch, sizeof scratch, MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    n_bytes += (unsigned long long)n;
    if (!c->seen && (n < 12 || memcmp(scratch + 9, "200", 3) != 0)) {
        fprintf(stderr, "stream_load: %.*s\n", (int)n, scratch);
        return false;
    }
    c->seen += (size_t)n;
    keep_tail(c, scratch, (size_t)n);
    if (!c->has_first && (memmem(scratch, (size_t)n, "data:", 5))) {
        c->has_first = true;
        c->first_ms = (float)((double)(now_ns() - c->began_ns) / 1e6);
    }
    if (c->tail_n < 5 || memcmp(c->tail + c->tail_n - 5, "0\r\n\r\n", 5) != 0)
        return true;
    if (!memmem(c->tail, c->tail_n, "[DONE]", 6) && !memmem(c->tail, c->tail_n, "message_stop", 12))
        n_errors++;
    if (n_done < SAMPLES_MAX) {
        first_ms[n_done] = c->first_ms;
        total_ms[n_done] = (float)((double)(now_ns() - c->began_ns) / 1e6);
    }
    n_done++;
    ask(c);
    return true;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double percentile(float *v, long n, double share)
{
    if (n == 0)
        return 0;
    qsort(v, (size_t)n, sizeof *v, by_value);
    long at = (long)(share * (double)n);
    return v[at < n ? at : n - 1];
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    FILE *f = fopen(argv[4], "rb");
    request = malloc(1 << 20);
    if (!f || !request)
        return 1;
    request_n = fread(request, 1, 1 << 20, f);
    fclose(f);
    int n_conns = (int)strtol(argv[2], NULL, 10), one = 1, poller = epoll_create1(0);
    struct conn *conns = calloc((size_t)n_conns, sizeof *conns);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    for (int i = 0; i < n_conns; i++) {
        conns[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(conns[i].fd, (struct sockaddr *)&at, sizeof at)) {
            perror("stream_load");
            return 1;
        }
        setsockopt(conns[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &conns[i]};
        epoll_ctl(poller, EPOLL_CTL_ADD, conns[i].fd, &ev);
    }
    long long began = now_ns(), end = began + (long long)(strtod(argv[3], NULL) * 1e9);
    for (int i = 0; i < n_conns; i++)
        ask(&conns[i]);
    while (now_ns() < end) {
        struct epoll_event events[256];
        int got = epoll_wait(poller, events, 256, 50);
        for (int i = 0; i < got; i++)
            if (!read_some(events[i].data.ptr)) {
                struct conn *c = events[i].data.ptr;
                n_errors++;
                epoll_ctl(poller, EPOLL_CTL_DEL, c->fd, NULL);
                close(c->fd);
            }
    }
    double seconds = (double)(now_ns() - began) / 1e9;
    long n = n_done < SAMPLES_MAX ? n_done : SAMPLES_MAX;
    printf("{\"streams\": %ld, \"errors\": %ld, \"bytes\": %llu, \"seconds\": %.3f, \"first_p50\": %.4f, "
           "\"first_p99\": %.4f, "
           "\"total_p50\": %.4f, \"total_p99\": %.4f}\n",
           n_done, n_errors, n_bytes, seconds, percentile(first_ms, n, 0.5), percentile(first_ms, n, 0.99),
           percentile(total_ms, n, 0.5), percentile(total_ms, n, 0.99));
    return 0;
}
