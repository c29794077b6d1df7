/* tls.h - What a TLS side needs before its first connection: certificates and whom to trust.
 *
 * OpenSSL 3, TLS 1.2 and later.  Both objects may be shared by all loop threads. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/err.h"

/* A server's certificate and key.  Any thread. */
struct tls_server;

/* PEM files: the certificate with its chain, the key without a passphrase.  Returns NULL and
 * says which file is wrong and why. */
struct tls_server *tls_server_create(const char *cert_file, const char *key_file, struct err *err);

/* Reads the files again: connections accepted from now on get the new certificate, older ones
 * keep theirs.  On failure nothing has changed. */
int tls_server_reload(struct tls_server *tls, const char *cert_file, const char *key_file, struct err *err);

/* Nothing uses it any more.  Accepts NULL. */
void tls_server_free(struct tls_server *tls);

/* Whom a client trusts.  A server's chain is verified, and its name (or address) must be the one
 * that was asked for.  There is no switch that turns this off; a private authority is given
 * by ca_file.  Any thread. */
struct tls_client;

/* ca_file: PEM, or NULL for the system's authorities (which SSL_CERT_FILE and SSL_CERT_DIR
 * replace, as OpenSSL documents). */
struct tls_client *tls_client_create(const char *ca_file, struct err *err);
/* The authorities take some milliseconds and megabytes to read.  It happens here, or else with
 * the first connection.  ERR_FORMAT: the file cannot be used. */
int tls_client_load(struct tls_client *tls, struct err *err);
void tls_client_free(struct tls_client *tls); /* accepts NULL */

#endif
