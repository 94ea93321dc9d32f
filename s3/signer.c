/* Signing by itself. */
#include "s3/signer.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "s3/mint.h"
#include "s3/policy.h"
#include "s3/wire.h"

#include <string.h>

#define LIFE_S 900
#define WAIT_MS 30000

struct signer {
    struct signer_options options; /* without bucket */
    struct mapping_bucket bucket;  /* owned */
    struct lent_keys *keys;
};

/* One body of items on its way to be signed. */
struct signing {
    struct signer *signer;
    struct lent *lent; /* one use is ours */
    struct sign_credentials keys;
    struct policy policy;
    struct mint mint;
    struct json *asked, *granted; /* owned: the items; what the server answered to those that are its own */
    const struct json *next;      /* of granted */
    int error;                    /* of asking the server */
    struct fault fault;
    struct buffer out;
};

static void signing_finish(struct signing *signing) {
    lent_release(signing->lent);
    json_destroy(signing->asked);
    json_destroy(signing->granted);
    buffer_wipe(&signing->out);
}

static void prepare(struct signing *signing) {
    const struct signer *signer = signing->signer;
    const struct mapping_keys *lent = &signing->lent->keys;
    struct store_features features;
    signer->options.features(signer->options.context, &features);
    signing->keys = (struct sign_credentials){
        .access_key = lent->access_key,
        .secret_key = lent->secret_key,
        .session_token = lent->session_token,
        .region = signer->bucket.region,
        .service = "s3",
    };
    signing->policy = (struct policy){
        .bucket = signer->bucket.name,
        .prefix = signer->bucket.prefix,
        .quoted_etag = features.quoted_etag,
        .complete_size = features.complete_size,
    };
    int64_t now_s = lent_now_s(signing->lent);
    signing->mint = (struct mint){
        .endpoint = signer->bucket.endpoint,
        .virtual_style = signer->bucket.virtual_style,
        .bucket = signer->bucket.name,
        .signing = signing->lent->signing,
        .keys = &signing->keys,
        .keys_expire_s = now_s + (signing->lent->ends_ms - clock_boottime_ms()) / 1000,
        .life_s = LIFE_S,
        .now_s = now_s,
    };
}

/* ---- what the server grants ---- */

static bool is_granted(const struct signing *signing, const struct json *item) {
    const struct mapping_keys *keys = &signing->lent->keys;
    const char *op = json_get_text(item, "op");
    return (keys->grant_delete_many && text_equal(op, WIRE_OP_DELETE_MANY)) ||
           (keys->grant_part_copy && text_equal(op, WIRE_OP_PART_COPY));
}

static int add_item(struct buffer *body, const struct json *item, bool first) {
    AUTO_FREE char *text = json_print(item);
    int error = text ? buffer_append_text(body, first ? "{\"items\":[" : ",") : -ENOMEM;
    return error ? error : buffer_append_text(body, text);
}

/* Asks for those items that are the server's to grant; its refusal is theirs alone. */
static int ask_server(struct signing *signing, const _Atomic bool *cancelled) {
    AUTO_BUFFER struct buffer body = {0};
    const struct grants_mint *grants = &signing->signer->options.grants;
    int error = 0;
    for (const struct json *item = json_first(json_get(signing->asked, "items")); item && !error;
         item = json_next(item))
        if (is_granted(signing, item))
            error = add_item(&body, item, !body.size);
    if (error || !body.size)
        return error;
    error = buffer_append_text(&body, "]}");
    if (!error)
        signing->error =
            grants->mint(grants->context, body.data, body.size, cancelled, &signing->granted, &signing->fault);
    signing->next = json_first(json_get(signing->granted, "grants"));
    return error;
}

static const char *code_of(int error) {
    switch (error) {
    case PAIL_LOGIN_REQUIRED:
        return WIRE_ERROR_TOKEN;
    case PAIL_DENIED:
        return WIRE_ERROR_DENIED;
    case PAIL_QUOTA:
        return WIRE_ERROR_QUOTA;
    case PAIL_BUSY:
        return WIRE_ERROR_BUSY;
    case PAIL_GONE:
        return WIRE_ERROR_NOT_FOUND;
    default:
        return WIRE_ERROR_UNAVAILABLE;
    }
}

static int take_granted(struct signing *signing) {
    const struct json *grant = signing->next;
    if (!grant)
        return mint_write_error(&signing->out, code_of(signing->error),
                                signing->fault.text[0] ? signing->fault.text : "the mapping server has not answered",
                                NULL);
    AUTO_FREE char *text = json_print(grant);
    signing->next = json_next(grant);
    return text ? buffer_append_text(&signing->out, text) : -ENOMEM;
}

/* ---- what is signed here ---- */

static int sign_item(struct signing *signing, const struct json *item) {
    struct policy_plan plan;
    struct fault fault = {0};
    size_t before = signing->out.size;
    int error = policy_plan(&signing->policy, item, &plan, &fault);
    if (error == POLICY_REFUSED)
        return mint_write_error(&signing->out, WIRE_ERROR_BAD_ITEM, fault.text, NULL);
    if (error)
        return error;
    error = mint_write(&signing->mint, &plan, &signing->out);
    policy_plan_finish(&plan);
    if (error != -EINVAL && error != -ESTALE)
        return error;
    signing->out.size = before;
    return error == -EINVAL
               ? mint_write_error(&signing->out, WIRE_ERROR_BAD_ITEM, "this cannot be signed", NULL)
               : mint_write_error(&signing->out, WIRE_ERROR_UNAVAILABLE, "the temporary keys are over", NULL);
}

static int sign_all(struct signing *signing) {
    int error = buffer_append_text(&signing->out, "{\"grants\":[");
    const struct json *items = json_get(signing->asked, "items"), *first = json_first(items);
    for (const struct json *item = first; item && !error; item = json_next(item)) {
        if (item != first)
            error = buffer_append_text(&signing->out, ",");
        if (!error)
            error = is_granted(signing, item) ? take_granted(signing) : sign_item(signing, item);
    }
    return error ? error : buffer_append_text(&signing->out, "]}");
}

static int mint(void *context, const char *body, size_t size, const _Atomic bool *cancelled, struct json **answer,
                struct fault *fault) {
    struct signer *signer = context;
    CLEANUP(signing_finish) struct signing signing = {.signer = signer};
    int error = lent_keys_get(signer->keys, WAIT_MS, cancelled, &signing.lent, fault);
    if (error == PAIL_UNSUPPORTED || error == PAIL_QUOTA)
        return signer->options.grants.mint(signer->options.grants.context, body, size, cancelled, answer, fault);
    if (error)
        return error;
    prepare(&signing);
    error = json_parse(&signing.asked, body, size);
    if (!error)
        error = ask_server(&signing, cancelled);
    if (!error)
        error = sign_all(&signing);
    return error ? error : json_parse(answer, signing.out.data, signing.out.size);
}

static void refused(void *context, const char *url) {
    lent_keys_refused(((struct signer *)context)->keys, url);
}

struct grants_mint signer_mint(struct signer *signer) {
    return (struct grants_mint){.mint = mint, .context = signer, .refused = refused};
}

/* ---- life ---- */

int signer_start(struct signer *signer, int64_t wait_ms, struct fault *fault) {
    struct lent *lent = NULL;
    int error = lent_keys_get(signer->keys, wait_ms, NULL, &lent, fault);
    lent_release(lent);
    return error;
}

int signer_state(struct signer *signer, struct fault *fault) {
    return lent_keys_state(signer->keys, fault);
}

static int copy_bucket(struct mapping_bucket *to, const struct mapping_bucket *from) {
    *to = (struct mapping_bucket){
        .name = strdup(from->name),
        .prefix = strdup(from->prefix),
        .region = strdup(from->region),
        .endpoint = strdup(from->endpoint),
        .virtual_style = from->virtual_style,
    };
    return to->name && to->prefix && to->region && to->endpoint ? 0 : -ENOMEM;
}

int signer_create(struct signer **out, const struct signer_options *options) {
    struct signer *signer = calloc(1, sizeof *signer);
    if (!signer)
        return -ENOMEM;
    signer->options = *options;
    signer->options.bucket = NULL;
    int error = copy_bucket(&signer->bucket, options->bucket);
    if (!error)
        error = lent_keys_create(&signer->keys, &options->keys);
    if (error)
        signer_destroy(signer);
    else
        *out = signer;
    return error;
}

void signer_destroy(struct signer *signer) {
    if (!signer)
        return;
    lent_keys_destroy(signer->keys);
    free(signer->bucket.name);
    free(signer->bucket.prefix);
    free(signer->bucket.region);
    free(signer->bucket.endpoint);
    free(signer);
}
