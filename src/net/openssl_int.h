/* openssl_int.h - OpenSSL's headers, which have a type of the name of one of our error codes. */
#ifndef NET_OPENSSL_INT_H
#define NET_OPENSSL_INT_H

#define ERR_STATE openssl_err_state
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#endif
