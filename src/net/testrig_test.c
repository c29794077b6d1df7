/* testrig_test.c - See testrig_int.h. */
#include "net/testrig_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/openssl_int.h"

#include <openssl/pem.h>

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool rig_until(struct loop *loop, const int *counter, int want)
{
    int64_t end = now_ms() + RIG_PATIENCE_MS;
    while (*counter < want && now_ms() < end)
        loop_run_once(loop, 5);
    return *counter >= want;
}

void rig_turn(struct loop *loop, int ms)
{
    int64_t end = now_ms() + ms;
    do {
        loop_run_once(loop, 1);
    } while (now_ms() < end);
}

int raw_listen(uint16_t *port)
{
    int fd = -1;
    struct err err = {0};
    if (addr_listen(S("127.0.0.1"), 0, 1, &fd, 1, port, &err) < 0)
        test_fail(__FILE__, __LINE__, "%s", err.text);
    return fd;
}

int raw_accept(struct loop *loop, int listener)
{
    int64_t end = now_ms() + RIG_PATIENCE_MS;
    while (now_ms() < end) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            return fd;
        loop_run_once(loop, 2);
    }
    test_fail(__FILE__, __LINE__, "nobody connected");
    return -1;
}

int raw_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        test_fail(__FILE__, __LINE__, "no connection to port %u: %s", port, strerror(errno));
    return fd;
}

void raw_send(struct loop *loop, int fd, struct str bytes)
{
    int64_t end = now_ms() + RIG_PATIENCE_MS;
    while (bytes.n && now_ms() < end) {
        ssize_t n = send(fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return; /* the other side has closed: the test sees it when reading */
        if (n > 0)
            bytes = str_sub(bytes, (size_t)n, bytes.n);
        loop_run_once(loop, n > 0 ? 0 : 1);
    }
}

bool raw_read(struct loop *loop, int fd, struct buf *got, const char *needle)
{
    int64_t end = now_ms() + RIG_PATIENCE_MS;
    while (now_ms() < end) {
        if (needle && str_find(buf_str(got), str_c(needle), 0) != STR_NONE)
            return true;
        char *to = buf_reserve(got, 65536);
        if (!to)
            return false;
        ssize_t n = recv(fd, to, 65536, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return !needle;
        if (n > 0)
            buf_commit(got, (size_t)n);
        else
            loop_run_once(loop, 2);
    }
    test_fail(__FILE__, __LINE__, "nothing more came; so far: %.*s", STR(str_sub(buf_str(got), 0, 500)));
    return false;
}

bool raw_is_quiet(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* -------------------------------------------------------------- certificates */

static bool add_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
    return ok;
}

static bool write_pem(const char *path, X509 *x, EVP_PKEY *key)
{
    FILE *f = fopen(path, "w");
    bool ok = f && (x ? PEM_write_X509(f, x) : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
    if (f)
        fclose(f);
    return ok;
}

void rig_cert_make(struct rig_cert *c, const char *name)
{
    char names[200];
    snprintf(c->dir, sizeof c->dir, "/tmp/sluice-net-XXXXXX");
    REQUIRE(mkdtemp(c->dir) != NULL);
    snprintf(c->cert, sizeof c->cert, "%s/cert.pem", c->dir);
    snprintf(c->key, sizeof c->key, "%s/key.pem", c->dir);
    if (name)
        snprintf(names, sizeof names, "DNS:%s", name);
    else
        snprintf(names, sizeof names, "DNS:localhost,DNS:sluice.test,IP:127.0.0.1");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    REQUIRE(key && x);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME *subject = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"sluice test", -1, -1, 0);
    X509_set_issuer_name(x, subject);
    REQUIRE(add_extension(x, NID_basic_constraints, "critical,CA:TRUE"));
    REQUIRE(add_extension(x, NID_subject_alt_name, names));
    REQUIRE(X509_sign(x, key, EVP_sha256()) > 0);
    REQUIRE(write_pem(c->cert, x, NULL) && write_pem(c->key, NULL, key));
    X509_free(x);
    EVP_PKEY_free(key);
}

void rig_cert_remove(struct rig_cert *c)
{
    unlink(c->cert);
    unlink(c->key);
    rmdir(c->dir);
}
