/* The trials of a proof. A condition holds when its wrong value is answered with 412 (a checksum's or size's with 400)
 * and changed nothing, and its right one succeeds. */
#include "base/cleanup.h"
#include "base/text.h"
#include "s3/checksum.h"
#include "s3/server/probing.h"
#include "s3/server/proof_parts.h"
#include "s3/wire.h"

#include <stdio.h>
#include <string.h>

#define WRONG_ETAG "00000000000000000000000000000000"
#define PART "a part of a probe"

/* Trials. Each gives whether its condition holds. */

typedef bool trial(struct probing *probing);

/* Sends the request once with the wrong header and once with the right one. target is what must not change, then must.
 */
static bool try_both(struct probing *probing, struct probing_request *request, size_t place, struct sign_pair wrong,
                     struct sign_pair right, const char *target) {
    struct probing_answer answer;
    char before[PROBING_ETAG], after[PROBING_ETAG];
    probing_etag(probing, target, before);
    request->headers[place] = wrong;
    probing_ask(probing, request, &answer);
    if (answer.status != 412)
        return false;
    probing_etag(probing, target, after);
    if (strcmp(before, after) != 0)
        return false;
    request->headers[place] = right;
    probing_ask(probing, request, &answer);
    return answer.status / 100 == 2 && !answer.failed;
}

static void wrong_condition(const struct probing *probing, char out[PROBING_ETAG + 2]) {
    probing_condition(probing, WRONG_ETAG, out);
}

static bool try_put_if_match(struct probing *probing) {
    char key[64], right[PROBING_ETAG + 2], wrong[PROBING_ETAG + 2];
    probing_make(probing, "one", key, right);
    wrong_condition(probing, wrong);
    struct probing_request request = {.method = "PUT", .key = key, .body = "two"};
    return try_both(probing, &request, 0, (struct sign_pair){"if-match", wrong}, (struct sign_pair){"if-match", right},
                    key);
}

static bool try_put_if_absent(struct probing *probing) {
    char key[64], fresh[64], ignored[PROBING_ETAG + 2], before[PROBING_ETAG], after[PROBING_ETAG];
    struct sign_pair absent = {"if-none-match", "*"};
    probing_make(probing, "one", key, ignored);
    probing_etag(probing, key, before);
    if (probing_put(probing, key, "two", absent) != 412)
        return false;
    probing_etag(probing, key, after);
    probing_key(probing, fresh);
    return !strcmp(before, after) && probing_put(probing, fresh, "two", absent) / 100 == 2 &&
           probing_exists(probing, fresh);
}

/* An upload of one part; body receives what complete must send. */
static void make_upload(struct probing *probing, const char *key, char upload[600], char body[400]) {
    struct probing_answer answer;
    probing_ask(probing, &(struct probing_request){.method = "POST", .key = key, .query = {{"uploads", NULL}}},
                &answer);
    snprintf(upload, 600, "%s", answer.upload);
    struct probing_request part = {
        .method = "PUT", .key = key, .query = {{"partNumber", "1"}, {"uploadId", upload}}, .body = PART};
    probing_ask(probing, &part, &answer);
    snprintf(
        body, 400,
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Part><PartNumber>1</PartNumber>"
        "<ETag>\"%s\"</ETag></Part></CompleteMultipartUpload>",
        answer.etag);
}

static bool try_complete_if_match(struct probing *probing) {
    char key[64], right[PROBING_ETAG + 2], wrong[PROBING_ETAG + 2], upload[600], body[400];
    probing_make(probing, "one", key, right);
    wrong_condition(probing, wrong);
    make_upload(probing, key, upload, body);
    struct probing_request request = {.method = "POST", .key = key, .query = {{"uploadId", upload}}, .body = body};
    bool holds = try_both(probing, &request, 0, (struct sign_pair){"if-match", wrong},
                          (struct sign_pair){"if-match", right}, key);
    if (!holds)
        probing_abort(probing, key, upload);
    return holds;
}

static bool try_complete_if_absent(struct probing *probing) {
    char key[64], fresh[64], ignored[PROBING_ETAG + 2], upload[600], body[400];
    char before[PROBING_ETAG], after[PROBING_ETAG];
    struct probing_answer answer;
    probing_make(probing, "one", key, ignored);
    probing_etag(probing, key, before);
    make_upload(probing, key, upload, body);
    struct probing_request request = {.method = "POST",
                                      .key = key,
                                      .query = {{"uploadId", upload}},
                                      .headers = {{"if-none-match", "*"}},
                                      .body = body};
    probing_ask(probing, &request, &answer);
    probing_etag(probing, key, after);
    bool refused = answer.status == 412 && !strcmp(before, after);
    probing_abort(probing, key, upload);
    if (!refused)
        return false;
    probing_key(probing, fresh);
    make_upload(probing, fresh, upload, body);
    request.key = fresh;
    probing_ask(probing, &request, &answer);
    return answer.status / 100 == 2 && !answer.failed && probing_exists(probing, fresh);
}

static bool try_complete_size(struct probing *probing) {
    char key[64], upload[600], body[400], size[12];
    struct probing_answer answer;
    probing_key(probing, key);
    make_upload(probing, key, upload, body);
    snprintf(size, sizeof size, "%zu", strlen(PART));
    struct probing_request request = {.method = "POST",
                                      .key = key,
                                      .query = {{"uploadId", upload}},
                                      .headers = {{"x-amz-mp-object-size", "999999"}},
                                      .body = body};
    probing_ask(probing, &request, &answer);
    bool refused = answer.status == 400 && !probing_exists(probing, key);
    if (refused) {
        request.headers[0].value = size;
        probing_ask(probing, &request, &answer);
    }
    bool holds = refused && answer.status / 100 == 2 && !answer.failed && probing_exists(probing, key);
    if (!holds)
        probing_abort(probing, key, upload);
    return holds;
}

static bool try_copy_if_match(struct probing *probing) {
    char source[64], key[64], right[PROBING_ETAG + 2], wrong[PROBING_ETAG + 2], path[160];
    probing_make(probing, "source", source, right);
    probing_make(probing, "target", key, right);
    wrong_condition(probing, wrong);
    probing_source(probing, source, path);
    struct probing_request request = {.method = "PUT", .key = key, .headers = {{"x-amz-copy-source", path}}};
    return try_both(probing, &request, 1, (struct sign_pair){"if-match", wrong}, (struct sign_pair){"if-match", right},
                    key);
}

static bool try_copy_if_absent(struct probing *probing) {
    char source[64], key[64], fresh[64], ignored[PROBING_ETAG + 2], path[160];
    char before[PROBING_ETAG], after[PROBING_ETAG];
    struct probing_answer answer;
    probing_make(probing, "source", source, ignored);
    probing_make(probing, "target", key, ignored);
    probing_etag(probing, key, before);
    probing_source(probing, source, path);
    struct probing_request request = {
        .method = "PUT", .key = key, .headers = {{"x-amz-copy-source", path}, {"if-none-match", "*"}}};
    probing_ask(probing, &request, &answer);
    probing_etag(probing, key, after);
    if (answer.status != 412 || strcmp(before, after) != 0)
        return false;
    probing_key(probing, fresh);
    request.key = fresh;
    probing_ask(probing, &request, &answer);
    return answer.status / 100 == 2 && !answer.failed && probing_exists(probing, fresh);
}

static bool try_copy_source_if_match(struct probing *probing) {
    char source[64], key[64], right[PROBING_ETAG + 2], wrong[PROBING_ETAG + 2], path[160];
    probing_make(probing, "source", source, right);
    wrong_condition(probing, wrong);
    probing_key(probing, key);
    probing_source(probing, source, path);
    struct probing_request request = {.method = "PUT", .key = key, .headers = {{"x-amz-copy-source", path}}};
    return try_both(probing, &request, 1, (struct sign_pair){"x-amz-copy-source-if-match", wrong},
                    (struct sign_pair){"x-amz-copy-source-if-match", right}, key) &&
           probing_exists(probing, key);
}

static bool try_part_copy_source_if_match(struct probing *probing) {
    char source[64], key[64], right[PROBING_ETAG + 2], wrong[PROBING_ETAG + 2], path[160], upload[600];
    struct probing_answer answer;
    probing_make(probing, "source", source, right);
    wrong_condition(probing, wrong);
    probing_key(probing, key);
    probing_source(probing, source, path);
    probing_ask(probing, &(struct probing_request){.method = "POST", .key = key, .query = {{"uploads", NULL}}},
                &answer);
    snprintf(upload, sizeof upload, "%s", answer.upload);
    struct probing_request request = {.method = "PUT",
                                      .key = key,
                                      .query = {{"partNumber", "1"}, {"uploadId", upload}},
                                      .headers = {{"x-amz-copy-source", path}}};
    bool holds = try_both(probing, &request, 1, (struct sign_pair){"x-amz-copy-source-if-match", wrong},
                          (struct sign_pair){"x-amz-copy-source-if-match", right}, key);
    probing_abort(probing, key, upload);
    return holds;
}

static bool try_delete_if_match(struct probing *probing) {
    char key[64], right[PROBING_ETAG + 2], wrong[PROBING_ETAG + 2];
    probing_make(probing, "one", key, right);
    wrong_condition(probing, wrong);
    struct probing_request request = {.method = "DELETE", .key = key};
    return try_both(probing, &request, 0, (struct sign_pair){"if-match", wrong}, (struct sign_pair){"if-match", right},
                    key) &&
           !probing_exists(probing, key);
}

static void delete_by_list(struct probing *probing, const char *key, const char *etag, struct probing_answer *answer) {
    char body[500];
    snprintf(body, sizeof body,
             "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet><Object><Key>%s</Key>"
             "<ETag>%s</ETag></Object></Delete>",
             key, etag);
    probing_ask(probing, &(struct probing_request){.method = "POST", .query = {{"delete", NULL}}, .body = body},
                answer);
}

static bool try_delete_many_if_match(struct probing *probing) {
    char key[64], right[PROBING_ETAG + 2], wrong[PROBING_ETAG + 2];
    struct probing_answer answer;
    probing_make(probing, "one", key, right);
    wrong_condition(probing, wrong);
    delete_by_list(probing, key, wrong, &answer);
    if (!(answer.status == 412 || (answer.status == 200 && answer.failed)) || !probing_exists(probing, key))
        return false;
    delete_by_list(probing, key, right, &answer);
    return answer.status == 200 && !answer.failed && !probing_exists(probing, key);
}

/* Checksums: the wrong one is 400. */

static bool try_put_sum(struct probing *probing, const char *header, const char *wrong, const char *right) {
    char key[64], etag[PROBING_ETAG];
    struct probing_answer answer;
    probing_key(probing, key);
    struct probing_request request = {.method = "PUT", .key = key, .headers = {{header, wrong}}, .body = PART};
    probing_ask(probing, &request, &answer);
    probing_etag(probing, key, etag);
    if (answer.status != 400 || *etag)
        return false;
    request.headers[0].value = right;
    probing_ask(probing, &request, &answer);
    return answer.status / 100 == 2 && probing_exists(probing, key);
}

static bool try_part_sum(struct probing *probing, const char *header, const char *wrong, const char *right) {
    char key[64], upload[600];
    struct probing_answer answer;
    probing_key(probing, key);
    probing_ask(probing, &(struct probing_request){.method = "POST", .key = key, .query = {{"uploads", NULL}}},
                &answer);
    snprintf(upload, sizeof upload, "%s", answer.upload);
    struct probing_request request = {.method = "PUT",
                                      .key = key,
                                      .query = {{"partNumber", "1"}, {"uploadId", upload}},
                                      .headers = {{header, wrong}},
                                      .body = PART};
    probing_ask(probing, &request, &answer);
    bool refused = answer.status == 400;
    request.headers[0].value = right;
    probing_ask(probing, &request, &answer);
    probing_abort(probing, key, upload);
    return refused && answer.status / 100 == 2;
}

static bool try_sum(struct probing *probing, enum checksum_kind kind, const char *header, bool parts_too) {
    AUTO_FREE char *wrong = NULL, *right = NULL;
    if (checksum_base64(kind, "something else", 14, &wrong) || checksum_base64(kind, PART, strlen(PART), &right)) {
        probing->error = -ENOMEM;
        return false;
    }
    return try_put_sum(probing, header, wrong, right) && (!parts_too || try_part_sum(probing, header, wrong, right));
}

static bool try_content_md5(struct probing *probing) {
    return try_sum(probing, CHECKSUM_MD5, "content-md5", true);
}

static bool try_crc32c(struct probing *probing) {
    return try_sum(probing, CHECKSUM_CRC32C, "x-amz-checksum-crc32c", false);
}

static bool try_sha256(struct probing *probing) {
    return try_sum(probing, CHECKSUM_SHA256, "x-amz-checksum-sha256", false);
}

/* All of them. Those with an ETag are tried with quotes and without; the form that more of them understand is told. */

static const struct {
    const char *name;
    trial *try;
    bool has_etag;
} trials[] = {
    {WIRE_FEATURE_PUT_IF_ABSENT, try_put_if_absent, false},
    {WIRE_FEATURE_PUT_IF_MATCH, try_put_if_match, true},
    {WIRE_FEATURE_COMPLETE_IF_ABSENT, try_complete_if_absent, false},
    {WIRE_FEATURE_COMPLETE_IF_MATCH, try_complete_if_match, true},
    {WIRE_FEATURE_COMPLETE_SIZE, try_complete_size, false},
    {WIRE_FEATURE_COPY_IF_ABSENT, try_copy_if_absent, false},
    {WIRE_FEATURE_COPY_IF_MATCH, try_copy_if_match, true},
    {WIRE_FEATURE_COPY_SOURCE_IF_MATCH, try_copy_source_if_match, true},
    {WIRE_FEATURE_PART_COPY_SOURCE_IF_MATCH, try_part_copy_source_if_match, true},
    {WIRE_FEATURE_DELETE_IF_MATCH, try_delete_if_match, true},
    {WIRE_FEATURE_DELETE_MANY_IF_MATCH, try_delete_many_if_match, true},
    {WIRE_FEATURE_CONTENT_MD5, try_content_md5, false},
    {WIRE_FEATURE_CRC32C, try_crc32c, false},
    {WIRE_FEATURE_SHA256, try_sha256, false},
};
#define TRIALS (sizeof trials / sizeof *trials)

static void set_feature(struct store_features *features, const char *name, bool holds) {
    for (size_t i = 0; i < proof_feature_count; i++)
        if (!strcmp(proof_features[i].name, name))
            *proof_place(features, &proof_features[i]) = holds;
}

int proof_trials_run(struct probing *probing, struct store_features *features) {
    bool quoted[TRIALS] = {0}, bare[TRIALS] = {0};
    unsigned quoted_count = 0, bare_count = 0;
    for (size_t i = 0; i < TRIALS && !probing->error; i++) {
        probing->quoted = true;
        quoted[i] = trials[i].try(probing);
        probing->quoted = false;
        bare[i] = trials[i].has_etag ? trials[i].try(probing) : quoted[i];
        quoted_count += quoted[i];
        bare_count += bare[i];
    }
    bool use_quotes = quoted_count >= bare_count;
    for (size_t i = 0; i < TRIALS; i++)
        set_feature(features, trials[i].name, use_quotes ? quoted[i] : bare[i]);
    features->quoted_etag = use_quotes;
    return probing->error;
}
