/* The closed list of headers: whatever is not on it, acl, grants, tagging, redirects and encryption above all, is
 * refused. */
#include "s3/policy_headers.h"

#include "base/text.h"
#include "s3/wire.h"

#include <string.h>

#define METADATA "x-amz-meta-"

#define PUT (1u << POLICY_HEADERS_PUT)
#define COPY (1u << POLICY_HEADERS_COPY)
#define REPLACE (1u << POLICY_HEADERS_REPLACE)
#define CREATE (1u << POLICY_HEADERS_CREATE)

static const struct allowed {
    const char *name;
    unsigned purposes;
} list[] = {
    {"content-type", PUT | REPLACE | CREATE},
    {"cache-control", PUT | REPLACE | CREATE},
    {"content-disposition", PUT | REPLACE | CREATE},
    {"content-encoding", PUT | REPLACE | CREATE},
    {"content-language", PUT | REPLACE | CREATE},
    {"expires", PUT | REPLACE | CREATE},
    {"x-amz-checksum-crc32", PUT},
    {"x-amz-checksum-crc32c", PUT},
    {"x-amz-checksum-crc64nvme", PUT},
    {"x-amz-checksum-sha1", PUT},
    {"x-amz-checksum-sha256", PUT},
    {"x-amz-checksum-algorithm", COPY | REPLACE | CREATE},
    {"x-amz-checksum-type", CREATE},
    {"x-amz-storage-class", COPY | REPLACE | CREATE},
    {"x-amz-copy-source-if-none-match", COPY | REPLACE},
    {"x-amz-copy-source-if-modified-since", COPY | REPLACE},
    {"x-amz-copy-source-if-unmodified-since", COPY | REPLACE},
};

/* Those that are read at once; an archived object would be a file that cannot be opened. */
static const char *const storage_classes[] = {
    "STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY",
};

static bool is_metadata(const char *name) {
    if (!text_starts(name, METADATA) || !name[strlen(METADATA)])
        return false;
    const char *rest = name + strlen(METADATA);
    return rest[strspn(rest, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

static bool is_listed(const char *name, unsigned purpose) {
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!strcmp(list[i].name, name))
            return list[i].purposes & (1u << purpose);
    return false;
}

/* Printable ASCII without blanks at the ends: SigV4 would sign it without them, and some stores do not. */
static bool is_value(const char *value) {
    size_t size = strlen(value);
    for (size_t i = 0; i < size; i++)
        if (value[i] < 0x20 || value[i] > 0x7e)
            return false;
    return size && value[0] != ' ' && value[size - 1] != ' ' && !strstr(value, "  ");
}

static bool is_storage_class(const char *value) {
    for (size_t i = 0; i < sizeof storage_classes / sizeof *storage_classes; i++)
        if (!strcmp(storage_classes[i], value))
            return true;
    return false;
}

static int check_header(const char *name, const char *value, enum policy_headers_for purpose, struct fault *fault) {
    bool metadata = is_metadata(name);
    if (metadata ? purpose == POLICY_HEADERS_COPY : !is_listed(name, purpose))
        return fault_set(fault, POLICY_REFUSED, "the header \"%.60s\" cannot be granted here", name);
    if (!value || (!(metadata && !*value) && !is_value(value)))
        return fault_set(
            fault, POLICY_REFUSED,
            "the header \"%.60s\" must hold printable ASCII without needless blanks: percent-encode the rest", name);
    if (!strcmp(name, "x-amz-storage-class") && !is_storage_class(value))
        return fault_set(fault, POLICY_REFUSED, "objects of the storage class \"%.40s\" cannot be read at once", value);
    return 0;
}

static int add(struct policy_plan *plan, const char *name, const char *value, struct fault *fault) {
    bool is_signed = text_starts(name, "x-amz-");
    size_t count = is_signed ? plan->signed_count : plan->free_count;
    size_t room = is_signed ? POLICY_MAX_HEADERS : sizeof plan->free_headers / sizeof *plan->free_headers;
    if (count == room)
        return fault_set(fault, POLICY_REFUSED, "these are too many headers");
    if (is_signed)
        plan->signed_headers[plan->signed_count++] = (struct sign_pair){name, value};
    else
        plan->free_headers[plan->free_count++] = (struct sign_pair){name, value};
    return 0;
}

int policy_headers_take(const struct json *headers, enum policy_headers_for purpose, struct policy_plan *plan,
                        struct fault *fault) {
    size_t metadata = 0;
    if (headers && !json_is_object(headers))
        return fault_set(fault, POLICY_REFUSED, "headers must be an object");
    for (const struct json *each = json_first(headers); each; each = json_next(each)) {
        const char *name = json_name(each), *value = json_text(each);
        int result = check_header(name, value, purpose, fault);
        if (result)
            return result;
        if (is_metadata(name))
            metadata += strlen(name) - strlen(METADATA) + strlen(value);
        if (metadata > WIRE_MAX_METADATA)
            return fault_set(fault, POLICY_REFUSED, "all metadata together is more than %u bytes", WIRE_MAX_METADATA);
        result = add(plan, name, value, fault);
        if (result)
            return result;
    }
    return 0;
}
