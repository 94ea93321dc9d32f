/* Who is logged in and which bucket is theirs. */
#include "fs/cli/who.h"

#include "auth/fetch.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "fs/cli/output.h"

DEFINE_CLEANUP(struct session *, session_destroy)
DEFINE_CLEANUP(struct fetch *, fetch_destroy)
DEFINE_CLEANUP(struct mapping *, mapping_destroy)

int who_ask(const struct account *account, struct mapping_session *out, enum session_state *state,
            struct fault *fault) {
    CLEANUP(session_destroy_p) struct session *session = NULL;
    CLEANUP(fetch_destroy_p) struct fetch *fetch = NULL;
    CLEANUP(mapping_destroy_p) struct mapping *mapping = NULL;
    int r = session_create(&session, account, fault);
    if (r)
        return r;
    struct fetch_options options = {.ca_file = account->ca_file, .tokens = session_tokens(session)};
    r = fetch_create(&fetch, &options);
    if (!r)
        r = mapping_create(&mapping, fetch, account->server);
    if (!r)
        r = mapping_refresh(mapping, out, fault);
    if (state)
        *state = session_state(session, NULL);
    return r;
}

static void print_field(struct cli *cli, const char *name, const char *text) {
    AUTO_FREE char *safe = text ? cli_printable(text) : NULL;
    if (safe)
        fprintf(cli->out, "%s%-9s%s %s\n", cli_style_start(cli, CLI_DIM), name, cli_style_end(cli, CLI_DIM), safe);
}

void who_print(struct cli *cli, const struct account *account, const struct mapping_session *session) {
    print_field(cli, "account", session ? session->email : account->email ? account->email : account->subject);
    print_field(cli, "server", account->server);
    print_field(cli, "issuer", account->issuer);
    if (!session)
        return;
    const struct mapping_bucket *bucket = &session->bucket;
    AUTO_FREE char *place =
        text_format("%s%s%s at %s", bucket->name, bucket->prefix[0] ? "/" : "", bucket->prefix, bucket->endpoint);
    print_field(cli, "bucket", place);
}
