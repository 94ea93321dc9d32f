/* Items of POST /v1/grants: what is asked, whether it may be, and the request that follows. The server builds the whole
 * path and query, and every x-amz-* header that follows from a field. */
#include "s3/policy.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "s3/listing.h"
#include "s3/policy_headers.h"
#include "s3/wire.h"

#include <string.h>

struct asking {
    const struct policy *policy;
    const struct json *item;
    struct policy_plan *plan;
    struct fault *fault;
};

#define refuse(asking, ...) fault_set((asking)->fault, POLICY_REFUSED, __VA_ARGS__)

void policy_plan_finish(struct policy_plan *plan) {
    for (size_t i = 0; i < plan->text_count; i++)
        free(plan->texts[i]);
    free(plan->body);
    plan->text_count = 0;
    plan->body = NULL;
}

/* Building the plan. */

/* Takes text over; NULL (no memory) is kept out. */
static const char *keep(struct policy_plan *plan, char *text) {
    if (text)
        plan->texts[plan->text_count++] = text;
    return text;
}

static void add_query(struct policy_plan *plan, const char *name, const char *value) {
    plan->query[plan->query_count++] = (struct sign_pair){name, value};
}

static void add_signed(struct policy_plan *plan, const char *name, const char *value) {
    plan->signed_headers[plan->signed_count++] = (struct sign_pair){name, value};
}

static int add_number(struct policy_plan *plan, const char *name, uint64_t number, bool header) {
    const char *text = keep(plan, text_format("%llu", (unsigned long long)number));
    if (!text)
        return -ENOMEM;
    if (header)
        add_signed(plan, name, text);
    else
        add_query(plan, name, text);
    return 0;
}

/* Reading fields. */

static bool is_printable(const char *text) {
    for (; *text; text++)
        if (*text < 0x20 || *text > 0x7e)
            return false;
    return true;
}

/* An optional text; *out NULL without. */
static int read_text(const struct asking *asking, const char *name, size_t max, const char **out) {
    const struct json *value = json_get(asking->item, name);
    *out = json_text(value);
    if (value && !*out)
        return refuse(asking, "%s must be a text", name);
    if (*out && strlen(*out) > max)
        return refuse(asking, "%s is longer than %zu bytes", name, max);
    return 0;
}

/* Ids and ETags: what S3 gave out, printable ASCII and never empty. */
static int read_token(const struct asking *asking, const char *name, bool required, const char **out) {
    int result = read_text(asking, name, 2048, out);
    if (result)
        return result;
    if (required && !*out)
        return refuse(asking, "%s is missing", name);
    if (*out && (!**out || !is_printable(*out)))
        return refuse(asking, "%s is empty or not printable ASCII", name);
    return 0;
}

static int check_key(const struct asking *asking, const char *name, const char *key) {
    size_t size = strlen(key), prefix = strlen(asking->policy->prefix);
    if (!size)
        return refuse(asking, "%s is empty", name);
    if (size > WIRE_MAX_KEY)
        return refuse(asking, "%s is longer than %u bytes", name, WIRE_MAX_KEY);
    if (!text_is_utf8(key, size))
        return refuse(asking, "%s is not UTF-8", name);
    if (!text_starts(key, asking->policy->prefix) || size == prefix)
        return refuse(asking, "%s is not below this account's prefix", name);
    return 0;
}

static int read_key(const struct asking *asking, const char *name, const char **out) {
    *out = json_text(json_get(asking->item, name));
    if (!*out)
        return refuse(asking, "%s is missing", name);
    return check_key(asking, name, *out);
}

static int read_number(const struct asking *asking, const char *name, int64_t least, int64_t most, int64_t *out) {
    const struct json *value = json_get(asking->item, name);
    if (!value)
        return refuse(asking, "%s is missing", name);
    if (json_integer(value, out) || *out < least || *out > most)
        return refuse(asking, "%s must be a whole number from %lld to %lld", name, (long long)least, (long long)most);
    return 0;
}

static int take_key(struct asking *asking) {
    return read_key(asking, "key", &asking->plan->key);
}

static int take_token(struct asking *asking, const char *field, const char *parameter, bool required) {
    const char *value;
    int result = read_token(asking, field, required, &value);
    if (!result && value)
        add_query(asking->plan, parameter, value);
    return result;
}

/* ETags come without quotes; the store wants them with or without. */
static int write_etag(struct asking *asking, const char *etag, const char **out) {
    if (strchr(etag, '"'))
        return refuse(asking, "an ETag is written without quotes");
    *out = asking->policy->quoted_etag ? keep(asking->plan, text_format("\"%s\"", etag)) : etag;
    return *out ? 0 : -ENOMEM;
}

/* x-amz-copy-source: the account's own bucket, and the key with all but unreserved characters and '/' escaped, so that
 * a '?' in it starts no version id. */
static int take_source(struct asking *asking) {
    const char *source = NULL, *version = NULL, *if_match = NULL;
    int result = read_key(asking, "source", &source);
    if (!result)
        result = read_token(asking, "source_version", false, &version);
    if (!result)
        result = read_token(asking, "source_if_match", false, &if_match);
    if (result)
        return result;
    if (!version)
        version = asking->policy->source_version;
    if (!if_match)
        if_match = asking->policy->source_etag;
    AUTO_FREE char *key = text_percent_encode(source, strlen(source), true);
    AUTO_FREE char *id = version ? text_percent_encode(version, strlen(version), false) : NULL;
    if (!key || (version && !id))
        return -ENOMEM;
    const char *value = keep(
        asking->plan, text_format("/%s/%s%s%s", asking->policy->bucket, key, id ? "?versionId=" : "", id ? id : ""));
    if (!value)
        return -ENOMEM;
    add_signed(asking->plan, "x-amz-copy-source", value);
    if (!if_match)
        return 0;
    result = write_etag(asking, if_match, &value);
    if (!result)
        add_signed(asking->plan, "x-amz-copy-source-if-match", value);
    return result;
}

static int take_headers(struct asking *asking, enum policy_headers_for purpose) {
    return policy_headers_take(json_get(asking->item, "headers"), purpose, asking->plan, asking->fault);
}

/* Operations. */

static int plan_get(struct asking *asking) {
    struct policy_plan *plan = asking->plan;
    const struct json *mode = json_get(asking->item, "checksum_mode");
    bool checksums = false;
    if (mode && json_boolean(mode, &checksums))
        return refuse(asking, "checksum_mode must be true or false");
    if (checksums)
        add_signed(plan, "x-amz-checksum-mode", "ENABLED");
    int result = take_key(asking);
    return result ? result : take_token(asking, "version", "versionId", false);
}

static int plan_put(struct asking *asking) {
    int64_t size = 0;
    int result = take_key(asking);
    if (!result)
        result = read_number(asking, "size", 0, (int64_t)STORE_MAX_PUT, &size);
    if (!result)
        result = add_number(asking->plan, "content-length", (uint64_t)size, true);
    return result ? result : take_headers(asking, POLICY_HEADERS_PUT);
}

static int plan_copy(struct asking *asking) {
    const char *directive = json_get_text(asking->item, "directive");
    if (!text_equal(directive, "COPY") && !text_equal(directive, "REPLACE"))
        return refuse(asking, "directive must be COPY or REPLACE");
    int result = take_key(asking);
    if (!result)
        result = take_source(asking);
    if (result)
        return result;
    add_signed(asking->plan, "x-amz-metadata-directive", directive);
    return take_headers(asking, text_equal(directive, "COPY") ? POLICY_HEADERS_COPY : POLICY_HEADERS_REPLACE);
}

static int plan_create(struct asking *asking) {
    add_query(asking->plan, "uploads", NULL);
    int result = take_key(asking);
    return result ? result : take_headers(asking, POLICY_HEADERS_CREATE);
}

static int take_upload(struct asking *asking) {
    int result = take_key(asking);
    return result ? result : take_token(asking, "upload", "uploadId", true);
}

static int take_number(struct asking *asking, int64_t number) {
    asking->plan->number_place = asking->plan->query_count;
    return add_number(asking->plan, "partNumber", (uint64_t)number, false);
}

static int take_last_size(struct asking *asking, int64_t size) {
    int64_t last = 0;
    if (!json_get(asking->item, "last_size"))
        return 0;
    int result = read_number(asking, "last_size", 1, (int64_t)STORE_MAX_PART, &last);
    if (result || last == size)
        return result;
    asking->plan->last_size = keep(asking->plan, text_format("%lld", (long long)last));
    return asking->plan->last_size ? 0 : -ENOMEM;
}

static int plan_part(struct asking *asking) {
    int64_t first = 0, count = 0, size = 0;
    int result = take_upload(asking);
    if (!result)
        result = read_number(asking, "first", 1, STORE_MAX_PARTS, &first);
    if (!result)
        result = read_number(asking, "count", 1, WIRE_MAX_URLS, &count);
    if (!result)
        result = read_number(asking, "size", 1, (int64_t)STORE_MAX_PART, &size);
    if (!result)
        result = take_last_size(asking, size);
    if (result)
        return result;
    if (first + count - 1 > STORE_MAX_PARTS)
        return refuse(asking, "part numbers end at %u", STORE_MAX_PARTS);
    asking->plan->is_run = true;
    asking->plan->first = (unsigned)first;
    asking->plan->count = (unsigned)count;
    asking->plan->length_place = asking->plan->signed_count;
    result = add_number(asking->plan, "content-length", (uint64_t)size, true);
    return result ? result : take_number(asking, first);
}

/* "bytes=a-b", both whole numbers, a <= b, and not more than a part may hold. */
static bool is_range(const char *text) {
    uint64_t from, to;
    const char *dash = strchr(text, '-');
    if (!text_starts(text, "bytes=") || !dash || dash - text < 7 || dash - text > 26)
        return false;
    char first[24] = "";
    memcpy(first, text + 6, (size_t)(dash - text - 6));
    return !text_parse_u64(first, &from) && !text_parse_u64(dash + 1, &to) && from <= to && to - from < STORE_MAX_PART;
}

static int plan_part_copy(struct asking *asking) {
    int64_t number = 0;
    const char *range = NULL;
    int result = take_upload(asking);
    if (!result)
        result = read_number(asking, "number", 1, STORE_MAX_PARTS, &number);
    if (!result)
        result = read_token(asking, "range", true, &range);
    if (!result && !is_range(range))
        result = refuse(asking, "range must be bytes=FIRST-LAST");
    if (!result)
        result = take_source(asking);
    if (result)
        return result;
    asking->plan->kind = POLICY_PART_COPY;
    add_signed(asking->plan, "x-amz-copy-source-range", range);
    return take_number(asking, number);
}

static int plan_complete(struct asking *asking) {
    int64_t total = 0;
    int result = take_upload(asking);
    if (!result)
        result = read_number(asking, "total", 0, (int64_t)STORE_MAX_PART * STORE_MAX_PARTS, &total);
    if (!result && asking->policy->complete_size)
        result = add_number(asking->plan, "x-amz-mp-object-size", (uint64_t)total, true);
    return result;
}

static int plan_list_parts(struct asking *asking) {
    int result = take_upload(asking);
    return result ? result : take_token(asking, "marker", "part-number-marker", false);
}

/* A prefix covers the account's own one, which ends in '/': "ann/" is no prefix of "anna/". */
static int take_prefix(struct asking *asking) {
    const char *prefix;
    int result = read_text(asking, "prefix", WIRE_MAX_KEY, &prefix);
    if (result)
        return result;
    if (!prefix || !text_starts(prefix, asking->policy->prefix))
        return refuse(asking, "a list's prefix begins with this account's prefix");
    if (!text_is_utf8(prefix, strlen(prefix)))
        return refuse(asking, "prefix is not UTF-8");
    add_query(asking->plan, "prefix", prefix);
    return 0;
}

static int take_place(struct asking *asking, const char *field, const char *parameter) {
    const char *value;
    int result = read_text(asking, field, WIRE_MAX_KEY, &value);
    if (!result && value && (!*value || !text_is_utf8(value, strlen(value))))
        result = refuse(asking, "%s is empty or not UTF-8", field);
    if (!result && value)
        add_query(asking->plan, parameter, value);
    return result;
}

static int take_listing(struct asking *asking) {
    const char *delimiter = NULL;
    int64_t most = 1000;
    int result = take_prefix(asking);
    if (!result)
        result = read_text(asking, "delimiter", 1, &delimiter);
    if (!result && delimiter && !text_equal(delimiter, "/"))
        result = refuse(asking, "delimiter can only be /");
    if (!result && json_get(asking->item, "max_keys"))
        result = read_number(asking, "max_keys", 1, 1000, &most);
    if (result)
        return result;
    if (delimiter)
        add_query(asking->plan, "delimiter", delimiter);
    add_query(asking->plan, "encoding-type", "url");
    return add_number(asking->plan, "max-keys", (uint64_t)most, false);
}

static int plan_list(struct asking *asking) {
    add_query(asking->plan, "list-type", "2");
    int result = take_listing(asking);
    if (!result)
        result = take_place(asking, "start_after", "start-after");
    return result ? result : take_token(asking, "token", "continuation-token", false);
}

static int plan_list_versions(struct asking *asking) {
    add_query(asking->plan, "versions", NULL);
    int result = take_listing(asking);
    if (!result)
        result = take_place(asking, "key_marker", "key-marker");
    return result ? result : take_token(asking, "version_marker", "version-id-marker", false);
}

/* One key of delete_many: {"key", "etag"?} and nothing else: with a version id it would destroy history. */
static int read_deleted(struct asking *asking, const struct json *entry, struct store_delete *out) {
    const struct json *etag = json_get(entry, "etag");
    out->key = json_get_text(entry, "key");
    if (!json_is_object(entry) || !out->key || json_size(entry) != 1u + (etag != NULL))
        return refuse(asking, "each of keys is {\"key\", \"etag\"?} and no more");
    int result = check_key(asking, "key", out->key);
    if (result || !etag)
        return result;
    const char *text = json_text(etag);
    if (!text || !*text || strlen(text) > 256 || !is_printable(text) || strchr(text, '"'))
        return refuse(asking, "an ETag is printable ASCII without quotes");
    out->etag = text;
    return 0;
}

static void free_deleted(struct store_delete **items) {
    free(*items);
}

/* The ETags between quotes, in one block. */
static int quote_etags(struct asking *asking, struct store_delete *items, size_t count) {
    size_t size = 1;
    for (size_t i = 0; i < count; i++)
        size += items[i].etag ? strlen(items[i].etag) + 3 : 0;
    char *block = malloc(size);
    if (!keep(asking->plan, block))
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (items[i].etag) {
            size_t length = strlen(items[i].etag);
            block[0] = '"';
            memcpy(block + 1, items[i].etag, length);
            memcpy(block + 1 + length, "\"", 2);
            items[i].etag = block;
            block += length + 3;
        }
    return 0;
}

static int plan_delete_many(struct asking *asking) {
    const struct json *keys = json_get(asking->item, "keys");
    size_t count = json_size(keys), i = 0;
    if (!json_is_array(keys) || !count || count > 1000)
        return refuse(asking, "keys must be 1 to 1,000 of {\"key\", \"etag\"?}");
    CLEANUP(free_deleted) struct store_delete *items = calloc(count, sizeof *items);
    if (!items)
        return -ENOMEM;
    for (const struct json *each = json_first(keys); each; each = json_next(each)) {
        int result = read_deleted(asking, each, &items[i++]);
        if (result)
            return result;
    }
    int result = asking->policy->quoted_etag ? quote_etags(asking, items, count) : 0;
    if (!result)
        result = listing_write_delete(items, count, &asking->plan->body, &asking->plan->body_size);
    if (result == -EILSEQ)
        return refuse(asking, "one of the keys cannot stand in XML: delete it by itself");
    asking->plan->kind = POLICY_DELETE_MANY;
    add_query(asking->plan, "delete", NULL);
    return result;
}

static const struct operation {
    const char *name, *method;
    int (*plan)(struct asking *asking);
    const char *fields[8]; /* all that an item may have besides op */
} operations[] = {
    {WIRE_OP_GET, "GET", plan_get, {"key", "version", "checksum_mode"}},
    {WIRE_OP_HEAD, "HEAD", plan_get, {"key", "version", "checksum_mode"}},
    {WIRE_OP_PUT, "PUT", plan_put, {"key", "size", "headers"}},
    {WIRE_OP_COPY, "PUT", plan_copy, {"key", "source", "source_version", "source_if_match", "directive", "headers"}},
    {WIRE_OP_CREATE, "POST", plan_create, {"key", "headers"}},
    {WIRE_OP_PART, "PUT", plan_part, {"key", "upload", "first", "count", "size", "last_size"}},
    {WIRE_OP_PART_COPY,
     "PUT",
     plan_part_copy,
     {"key", "upload", "number", "source", "source_version", "range", "source_if_match"}},
    {WIRE_OP_COMPLETE, "POST", plan_complete, {"key", "upload", "total"}},
    {WIRE_OP_ABORT, "DELETE", take_upload, {"key", "upload"}},
    {WIRE_OP_LIST_PARTS, "GET", plan_list_parts, {"key", "upload", "marker"}},
    {WIRE_OP_LIST, "GET", plan_list, {"prefix", "delimiter", "start_after", "token", "max_keys"}},
    {WIRE_OP_LIST_VERSIONS,
     "GET",
     plan_list_versions,
     {"prefix", "delimiter", "key_marker", "version_marker", "max_keys"}},
    {WIRE_OP_DELETE, "DELETE", take_key, {"key"}},
    {WIRE_OP_DELETE_MANY, "POST", plan_delete_many, {"keys"}},
};

static const struct operation *find_operation(const char *name) {
    for (size_t i = 0; name && i < sizeof operations / sizeof *operations; i++)
        if (!strcmp(operations[i].name, name))
            return &operations[i];
    return NULL;
}

static int check_fields(const struct asking *asking, const struct operation *operation) {
    for (const struct json *each = json_first(asking->item); each; each = json_next(each)) {
        bool known = !strcmp(json_name(each), "op");
        for (size_t i = 0; i < 8 && operation->fields[i]; i++)
            known |= !strcmp(json_name(each), operation->fields[i]);
        if (!known)
            return refuse(asking, "%s has no field \"%.40s\"", operation->name, json_name(each));
    }
    return 0;
}

size_t policy_count(const struct json *item) {
    int64_t count = 1;
    if (text_equal(json_get_text(item, "op"), WIRE_OP_PART))
        count = json_get_integer(item, "count", 1);
    return count >= 1 && count <= WIRE_MAX_URLS ? (size_t)count : 1;
}

int policy_plan(const struct policy *policy, const struct json *item, struct policy_plan *plan, struct fault *fault) {
    struct asking asking = {policy, item, plan, fault};
    plan->kind = POLICY_USUAL;
    plan->key = NULL;
    plan->query_count = plan->signed_count = plan->free_count = plan->text_count = plan->body_size = 0;
    plan->count = plan->first = 1;
    plan->is_run = false;
    plan->last_size = NULL;
    plan->body = NULL;
    if (!json_is_object(item))
        return refuse(&asking, "an item is an object");
    const struct operation *operation = find_operation(json_get_text(item, "op"));
    if (!operation)
        return refuse(&asking, "there is no such operation");
    plan->op = operation->name;
    plan->method = operation->method;
    int result = check_fields(&asking, operation);
    if (!result)
        result = operation->plan(&asking);
    if (result)
        policy_plan_finish(plan);
    return result;
}
