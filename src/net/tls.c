/* tls.c - OpenSSL on non-blocking sockets.  See tls.h, tls_int.h.
 *
 * The socket is reached by a BIO of our own instead of OpenSSL's, for MSG_NOSIGNAL: a peer that
 * is gone must not raise SIGPIPE, and a library may not change how the process handles
 * signals. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/tls_int.h"

struct tls_server {
    pthread_mutex_t lock; /* guards ctx, which a reload exchanges */
    SSL_CTX *ctx;
};

struct tls_client {
    pthread_mutex_t lock;
    char *ca_file; /* NULL: the system's */
    SSL_CTX *ctx;  /* under lock until it is there, then constant */
};

/* Who wants to know of a client's new sessions; hangs on the SSL. */
struct session_listener {
    void (*on_session)(void *arg, SSL_SESSION *session);
    void *arg;
};

/* The oldest error in OpenSSL's queue in words, and empties the queue. */
static void openssl_words(char *text, size_t cap)
{
    unsigned long code = ERR_get_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    snprintf(text, cap, "%s", reason ? reason : "unknown TLS error");
    ERR_clear_error();
}

/* ---------------------------------------------------------------------- BIO */

static BIO_METHOD *socket_method;
static pthread_once_t socket_method_once = PTHREAD_ONCE_INIT;

static int bio_fd(BIO *bio)
{
    return (int)(intptr_t)BIO_get_data(bio);
}

static int bio_result(BIO *bio, ssize_t n, bool is_read)
{
    BIO_clear_retry_flags(bio);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        if (is_read)
            BIO_set_retry_read(bio);
        else
            BIO_set_retry_write(bio);
    }
    return (int)n;
}

static int socket_read(BIO *bio, char *p, int n)
{
    ssize_t got = recv(bio_fd(bio), p, (size_t)n, 0);
    if (got == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return bio_result(bio, got, true);
}

static int socket_write(BIO *bio, const char *p, int n)
{
    return bio_result(bio, send(bio_fd(bio), p, (size_t)n, MSG_NOSIGNAL), false);
}

static long socket_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)num;
    (void)ptr;
    if (cmd == BIO_CTRL_FLUSH)
        return 1;
    if (cmd == BIO_CTRL_EOF)
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return 0;
}

static void make_socket_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    if (m && BIO_meth_set_read(m, socket_read) && BIO_meth_set_write(m, socket_write) &&
        BIO_meth_set_ctrl(m, socket_ctrl)) {
        socket_method = m;
        return;
    }
    BIO_meth_free(m);
}

static SSL *open_on(SSL_CTX *ctx, int fd)
{
    pthread_once(&socket_method_once, make_socket_method);
    BIO *bio = socket_method ? BIO_new(socket_method) : NULL;
    SSL *ssl = bio ? SSL_new(ctx) : NULL;
    if (!ssl) {
        BIO_free(bio);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, (void *)(intptr_t)fd);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio); /* both uses, one reference: now the SSL's */
    return ssl;
}

/* ----------------------------------------------------------------- contexts */

static SSL_CTX *context_create(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx)
        return NULL;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* Partial writes and moving buffers: what is left of a write may be sent from elsewhere.
     * Released buffers: an idle connection holds 34 KB less.  Read ahead: a record's header and
     * body come by one system call. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    return ctx;
}

/* The protocol is HTTP/1.1 whatever else the client offers. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                           const unsigned char *offered, unsigned offered_n, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl;
    (void)arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_n, ours, sizeof ours - 1, offered, offered_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* A passphrase would be asked for on the terminal: answer that there is none. */
static int no_passphrase(char *buf, int n, int is_writing, void *arg)
{
    (void)buf;
    (void)n;
    (void)is_writing;
    (void)arg;
    return 0;
}

static SSL_CTX *server_context(const char *cert_file, const char *key_file, struct err *err)
{
    char why[160];
    ERR_clear_error();
    SSL_CTX *ctx = context_create(TLS_server_method());
    if (!ctx) {
        fail(err, ERR_NOMEM, "no memory for TLS");
        return NULL;
    }
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    static const unsigned char id[] = "sluice";
    SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1);
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1) {
        openssl_words(why, sizeof why);
        fail(err, ERR_FORMAT, "certificate file '%s' cannot be used: %s", cert_file, why);
    } else if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1) {
        openssl_words(why, sizeof why);
        fail(err, ERR_FORMAT, "key file '%s' cannot be used: %s", key_file, why);
    } else if (SSL_CTX_check_private_key(ctx) != 1) {
        ERR_clear_error();
        fail(err, ERR_FORMAT, "key '%s' does not belong to certificate '%s'", key_file, cert_file);
    } else {
        return ctx;
    }
    SSL_CTX_free(ctx);
    return NULL;
}

struct tls_server *tls_server_create(const char *cert_file, const char *key_file, struct err *err)
{
    SSL_CTX *ctx = server_context(cert_file, key_file, err);
    if (!ctx)
        return NULL;
    struct tls_server *tls = calloc(1, sizeof *tls);
    if (!tls) {
        SSL_CTX_free(ctx);
        fail(err, ERR_NOMEM, "no memory for TLS");
        return NULL;
    }
    pthread_mutex_init(&tls->lock, NULL);
    tls->ctx = ctx;
    return tls;
}

int tls_server_reload(struct tls_server *tls, const char *cert_file, const char *key_file, struct err *err)
{
    SSL_CTX *ctx = server_context(cert_file, key_file, err);
    if (!ctx)
        return err ? err->code : ERR_FORMAT;
    pthread_mutex_lock(&tls->lock);
    SSL_CTX *old = tls->ctx;
    tls->ctx = ctx;
    pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(old); /* lives on while connections use it */
    return OK;
}

void tls_server_free(struct tls_server *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->ctx);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

SSL *tls_server_open(struct tls_server *tls, int fd)
{
    pthread_mutex_lock(&tls->lock);
    SSL *ssl = open_on(tls->ctx, fd);
    pthread_mutex_unlock(&tls->lock);
    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}

/* ------------------------------------------------------------------- client */

static int new_session(SSL *ssl, SSL_SESSION *session)
{
    struct session_listener *l = SSL_get_app_data(ssl);
    if (!l || !l->on_session)
        return 0;
    l->on_session(l->arg, session);
    return 1; /* the reference is theirs */
}

struct tls_client *tls_client_create(const char *ca_file, struct err *err)
{
    struct tls_client *tls = calloc(1, sizeof *tls);
    if (!tls || (ca_file && !(tls->ca_file = str_dup_z(str_c(ca_file))))) {
        free(tls);
        fail(err, ERR_NOMEM, "no memory for TLS");
        return NULL;
    }
    pthread_mutex_init(&tls->lock, NULL);
    return tls;
}

static SSL_CTX *load_client(const struct tls_client *tls, struct err *err)
{
    ERR_clear_error();
    SSL_CTX *ctx = context_create(TLS_client_method());
    if (!ctx) {
        fail(err, ERR_NOMEM, "no memory for TLS");
        return NULL;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, new_session);
    int ok =
        tls->ca_file ? SSL_CTX_load_verify_file(ctx, tls->ca_file) : SSL_CTX_set_default_verify_paths(ctx);
    if (ok == 1)
        return ctx;
    char why[160];
    openssl_words(why, sizeof why);
    fail(err, ERR_FORMAT, "certificate authorities '%s' cannot be used: %s",
         tls->ca_file ? tls->ca_file : "of the system", why);
    SSL_CTX_free(ctx);
    return NULL;
}

int tls_client_load(struct tls_client *tls, struct err *err)
{
    pthread_mutex_lock(&tls->lock);
    if (!tls->ctx)
        tls->ctx = load_client(tls, err);
    bool ok = tls->ctx != NULL;
    pthread_mutex_unlock(&tls->lock);
    return ok ? OK : err ? err->code : ERR_FORMAT;
}

void tls_client_free(struct tls_client *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->ctx);
    pthread_mutex_destroy(&tls->lock);
    free(tls->ca_file);
    free(tls);
}

static bool set_peer_name(SSL *ssl, struct str host)
{
    char name[256];
    if (host.n == 0 || host.n >= sizeof name)
        return false;
    memcpy(name, host.p, host.n);
    name[host.n] = 0;
    unsigned char addr[16];
    if (inet_pton(AF_INET, name, addr) == 1 || inet_pton(AF_INET6, name, addr) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    if (name[host.n - 1] == '.') /* a rooted name: certificates do not have the dot */
        name[host.n - 1] = 0;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, name) == 1 && SSL_set1_host(ssl, name) == 1;
}

SSL *tls_client_open(struct tls_client *tls, int fd, struct str host, SSL_SESSION *session,
                     void (*on_session)(void *arg, SSL_SESSION *session), void *arg)
{
    static const unsigned char protocols[] = "\x08http/1.1";
    SSL *ssl = tls_client_load(tls, NULL) == OK ? open_on(tls->ctx, fd) : NULL;
    if (!ssl)
        return NULL;
    struct session_listener *l = calloc(1, sizeof *l);
    if (!l || !set_peer_name(ssl, host) || SSL_set_alpn_protos(ssl, protocols, sizeof protocols - 1) != 0) {
        free(l);
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    *l = (struct session_listener){on_session, arg};
    SSL_set_app_data(ssl, l);
    if (session)
        SSL_set_session(ssl, session);
    SSL_set_connect_state(ssl);
    return ssl;
}

/* ----------------------------------------------------------------------- I/O */

static int result_of(SSL *ssl, int rc)
{
    switch (SSL_get_error(ssl, rc)) {
    case SSL_ERROR_WANT_READ: return CONN_AGAIN;
    case SSL_ERROR_WANT_WRITE: return CONN_WANTS_WRITE;
    case SSL_ERROR_ZERO_RETURN: return CONN_EOF;
    default: return CONN_BROKEN;
    }
}

int tls_handshake(SSL *ssl, char *why, size_t why_cap)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(ssl);
    if (rc == 1)
        return 1;
    int result = result_of(ssl, rc);
    if (result == CONN_AGAIN || result == CONN_WANTS_WRITE)
        return result;
    long verdict = SSL_get_verify_result(ssl);
    if (verdict != X509_V_OK) {
        snprintf(why, why_cap, "the certificate is not trusted: %s", X509_verify_cert_error_string(verdict));
        ERR_clear_error();
    } else if (ERR_peek_error()) {
        openssl_words(why, why_cap);
    } else {
        snprintf(why, why_cap, "the connection was closed during the TLS handshake");
    }
    return CONN_BROKEN;
}

ssize_t tls_read(SSL *ssl, void *p, size_t n)
{
    ERR_clear_error();
    size_t got;
    int rc = SSL_read_ex(ssl, p, n, &got);
    return rc == 1 ? (ssize_t)got : result_of(ssl, rc);
}

ssize_t tls_write(SSL *ssl, const void *p, size_t n)
{
    ERR_clear_error();
    size_t sent;
    int rc = SSL_write_ex(ssl, p, n, &sent);
    if (rc == 1)
        return (ssize_t)sent;
    int result = result_of(ssl, rc);
    return result == CONN_EOF ? CONN_BROKEN : result;
}

void tls_close(SSL *ssl, bool is_proper)
{
    if (!ssl)
        return;
    ERR_clear_error();
    if (is_proper && SSL_is_init_finished(ssl))
        SSL_shutdown(ssl);
    free(SSL_get_app_data(ssl));
    SSL_free(ssl);
    ERR_clear_error();
}
