/* llhttp_oracle_test.c - Node's parser, compiled from its package's sources where they are installed. */
#include "net/llhttp_oracle_int.h"

#if defined(__has_include)
#if __has_include("/usr/share/llhttp/llhttp.c") && __has_include(<llhttp.h>)
#define HAVE_LLHTTP 1
#endif
#endif

#ifndef HAVE_LLHTTP
bool llhttp_is_here(void)
{
    return false;
}

bool llhttp_read(struct str in, bool is_response, struct reading *r)
{
    (void)in;
    (void)is_response;
    (void)r;
    return false;
}
#else

/* Where the package puts its sources: not a header of ours. */
#define LLHTTP_API  "/usr/share/llhttp/api.c"
#define LLHTTP_HTTP "/usr/share/llhttp/http.c"
#include <llhttp.h>

/* Generated code, included as it is installed: its own warnings are not ours. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-label"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#include LLHTTP_API
#include LLHTTP_HTTP
#pragma GCC diagnostic pop

bool llhttp_is_here(void)
{
    return true;
}

static struct reading *of(llhttp_t *p)
{
    return p->data;
}

static int on_text(llhttp_t *p, const char *at, size_t n)
{
    buf_add(&of(p)->text, at, n);
    return 0;
}

static int on_url_end(llhttp_t *p)
{
    buf_putc(&of(p)->text, '\n');
    return 0;
}

/* llhttp leaves the blanks behind a value to its user. */
static int on_value_end(llhttp_t *p)
{
    struct buf *b = &of(p)->text;
    while (b->n > of(p)->value_at && (b->p[b->n - 1] == ' ' || b->p[b->n - 1] == '\t'))
        b->n--;
    buf_putc(b, '\n');
    return 0;
}

static int on_field_end(llhttp_t *p)
{
    buf_puts(&of(p)->text, ": ");
    of(p)->value_at = of(p)->text.n;
    return 0;
}

static int on_head_end(llhttp_t *p)
{
    buf_putc(&of(p)->text, '\n');
    return 0;
}

static int on_end(llhttp_t *p)
{
    of(p)->is_complete = true;
    return HPE_PAUSED;
}

bool llhttp_read(struct str in, bool is_response, struct reading *r)
{
    llhttp_settings_t settings;
    llhttp_t p;
    llhttp_settings_init(&settings);
    settings.on_url = on_text;
    settings.on_url_complete = on_url_end;
    settings.on_header_field = on_text;
    settings.on_header_field_complete = on_field_end;
    settings.on_header_value = on_text;
    settings.on_header_value_complete = on_value_end;
    settings.on_headers_complete = on_head_end;
    settings.on_body = on_text;
    settings.on_message_complete = on_end;
    llhttp_init(&p, is_response ? HTTP_RESPONSE : HTTP_REQUEST, &settings);
    p.data = r;
    buf_init(&r->text, 1u << 20);
    llhttp_errno_t e = llhttp_execute(&p, in.p, in.n);
    r->is_upgrade = p.upgrade;
    const char *at = llhttp_get_error_pos(&p);
    r->used = e == HPE_OK || !at ? in.n : (size_t)(at - in.p);
    r->verdict = llhttp_errno_name(e);
    return r->is_complete && e == HPE_PAUSED;
}
#endif
