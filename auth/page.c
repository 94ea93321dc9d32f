/* The page that the browser shows at the end of a login: one document, no script, nothing from elsewhere. */
#include "auth/page.h"

#include "base/cleanup.h"
#include "base/text.h"

static const char style[] =
    ":root{color-scheme:light dark;--back:#f3f5f8;--card:#fff;--text:#1b2430;--soft:#5b6775;--line:#dde3ea;"
    "--good:#12805c;--bad:#b3261e}"
    "@media(prefers-color-scheme:dark){:root{--back:#11161d;--card:#1a212b;--text:#e8edf3;--soft:#9aa7b5;"
    "--line:#2b3542;--good:#3ecf9a;--bad:#ff8a80}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--back);color:var(--text);"
    "font:17px/1.5 system-ui,-apple-system,\"Segoe UI\",Cantarell,Ubuntu,sans-serif}"
    "main{width:min(30rem,calc(100vw - 2rem));margin:1rem;padding:2.5rem 2rem;background:var(--card);"
    "border:1px solid var(--line);border-radius:18px;text-align:center}"
    "svg{width:72px;height:72px}.good{color:var(--good)}.bad{color:var(--bad)}"
    "h1{margin:1.1rem 0 .4rem;font-size:1.5rem;line-height:1.25;overflow-wrap:anywhere}"
    "p{margin:.4rem 0;overflow-wrap:anywhere}.soft{color:var(--soft);font-size:.92rem}"
    "footer{margin-top:1.6rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--soft);font-size:.85rem}";

/* A pail with a tick or a cross on it. */
static const char pail[] =
    "<svg viewBox=\"0 0 48 48\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2.6\" stroke-linecap=\"round\" "
    "stroke-linejoin=\"round\" aria-hidden=\"true\"><path d=\"M8 17c0-16 32-16 32 0\"/>"
    "<path d=\"M6 17h36M9 17l4 25a2 2 0 0 0 2 1.7h18a2 2 0 0 0 2-1.7l4-25\"/><path d=\"%s\"/></svg>";

char *page_render(bool good, const char *title, const char *text, const char *detail) {
    AUTO_FREE char *heading = text_html_escape(title), *body = text_html_escape(text);
    AUTO_FREE char *more = text_html_escape(detail ? detail : "");
    AUTO_FREE char *picture = text_format(pail, good ? "M18 30l4.5 4.5 8-9" : "M19 26l10 10M29 26l-10 10");
    if (!heading || !body || !more || !picture)
        return NULL;
    return text_format("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
                       "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                       "<meta name=\"color-scheme\" content=\"light dark\"><title>%s - Pail</title>"
                       "<style>%s</style></head><body><main id=\"%s\"><div class=\"%s\">%s</div>"
                       "<h1>%s</h1><p>%s</p><p class=\"soft\">%s</p>"
                       "<footer>Pail &middot; you can close this page</footer></main></body></html>\n",
                       heading, style, good ? "success" : "failure", good ? "good" : "bad", picture, heading, body,
                       more);
}
