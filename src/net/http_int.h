/* http_int.h - What the files of the HTTP codec share. */
#ifndef NET_HTTP_INT_H
#define NET_HTTP_INT_H

#include <stdbool.h>

/* RFC 9110 section 5.6.2: what names and methods are made of. */
bool http_is_token_byte(char c);

#endif
