/* What the issuer shows in the browser. */
#include "s3/embedded/issuer_pages.h"

#include "base/cleanup.h"
#include "base/text.h"

static const char style[] =
    ":root{color-scheme:light dark;--back:#f3f5f8;--card:#fff;--text:#1b2430;--soft:#5b6775;--line:#dde3ea;"
    "--good:#12805c;--bad:#b3261e;--field:#fff;--on:#fff}"
    "@media(prefers-color-scheme:dark){:root{--back:#11161d;--card:#1a212b;--text:#e8edf3;--soft:#9aa7b5;"
    "--line:#2b3542;--good:#3ecf9a;--bad:#ff8a80;--field:#11161d;--on:#0b1a14}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--back);color:var(--text);"
    "font:17px/1.5 system-ui,-apple-system,\"Segoe UI\",Cantarell,Ubuntu,sans-serif}"
    "main{width:min(30rem,calc(100vw - 2rem));margin:1rem;padding:2.5rem 2rem;background:var(--card);"
    "border:1px solid var(--line);border-radius:18px;text-align:center}"
    "svg{width:72px;height:72px}.good{color:var(--good)}"
    "h1{margin:1.1rem 0 .4rem;font-size:1.5rem;line-height:1.25}"
    "p{margin:.4rem 0;overflow-wrap:anywhere}.soft{color:var(--soft);font-size:.92rem}.bad{color:var(--bad)}"
    "form{margin-top:1.4rem;display:grid;gap:.9rem;text-align:left}"
    "form+p{margin-top:1.2rem}"
    "label{display:grid;gap:.35rem;font-size:.92rem;color:var(--soft)}"
    "input,button{font:inherit;padding:.7rem .9rem;border-radius:10px;border:1px solid var(--line)}"
    "input{background:var(--field);color:var(--text);width:100%}"
    "button{background:var(--good);color:var(--on);border-color:transparent;font-weight:600;cursor:pointer}"
    "input:focus-visible,button:focus-visible{outline:3px solid var(--good);outline-offset:2px}"
    "footer{margin-top:1.6rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--soft);font-size:.85rem}";

static const char pail[] =
    "<svg viewBox=\"0 0 48 48\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2.6\" stroke-linecap=\"round\" "
    "stroke-linejoin=\"round\" aria-hidden=\"true\"><path d=\"M8 17c0-16 32-16 32 0\"/>"
    "<path d=\"M6 17h36M9 17l4 25a2 2 0 0 0 2 1.7h18a2 2 0 0 0 2-1.7l4-25%s\"/></svg>";

static char *document(bool good, const char *title, const char *body) {
    AUTO_FREE char *picture = text_format(pail, good ? "" : "M19 26l10 10M29 26l-10 10");
    if (!picture)
        return NULL;
    return text_format("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
                       "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                       "<meta name=\"color-scheme\" content=\"light dark\"><title>%s - Pail</title>"
                       "<style>%s</style></head><body><main><div class=\"%s\">%s</div><h1>%s</h1>%s"
                       "<footer>Pail demo &middot; everything stays on this machine</footer></main></body></html>\n",
                       title, style, good ? "good" : "bad", picture, title, body);
}

char *issuer_pages_login(const char *handle, const char *email, const char *trouble) {
    AUTO_FREE char *filled = text_html_escape(email ? email : ""), *said = text_html_escape(trouble ? trouble : "");
    AUTO_FREE char *hidden = text_html_escape(handle);
    if (!filled || !said || !hidden)
        return NULL;
    AUTO_FREE char *body = text_format(
        "<p>Which email address shall your files belong to?</p>"
        "<form method=\"post\" action=\"/login\" autocomplete=\"on\">"
        "<input type=\"hidden\" name=\"attempt\" value=\"%s\">"
        "<label>Email<input id=\"email\" name=\"email\" type=\"email\" autocomplete=\"email\" required autofocus "
        "maxlength=\"254\" value=\"%s\"></label>%s%s%s"
        "<button id=\"go\" type=\"submit\">Sign in</button></form>"
        "<p class=\"soft\">There is no password: only you can open this page, and nothing is sent anywhere.</p>",
        hidden, filled, *said ? "<p class=\"bad\" role=\"alert\">" : "", said, *said ? "</p>" : "");
    return body ? document(true, "Sign in to Pail", body) : NULL;
}

char *issuer_pages_refusal(const char *title, const char *text) {
    AUTO_FREE char *head = text_html_escape(title), *said = text_html_escape(text);
    AUTO_FREE char *body = head && said ? text_format("<p>%s</p>", said) : NULL;
    return body ? document(false, head, body) : NULL;
}
