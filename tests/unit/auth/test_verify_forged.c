/* Tests of auth/verify: tokens that somebody made or spoiled, a row for each. Claims and headers that are wrong
 * although the issuer signed them are in test_verify.c. */
#include "auth/jwt.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "verify_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <string.h>

/* Good but for the signature, which is these bytes. */
static char *signed_by(const char *header, const char *text, const void *signature, size_t size) {
    AUTO_FREE char *start = forge_unsigned(header, text), *end = text_base64url(signature, size);
    return text_format("%s%s", start, end);
}

static char *with_header(const struct scene *scene, EVP_PKEY *key, const char *header) {
    AUTO_FREE char *text = claims(scene, NULL, 0);
    return forge_token(key, header, text);
}

static char *good(struct scene *scene) {
    return with_header(scene, scene->rsa, RS256);
}

static char *good_es256(struct scene *scene) {
    return with_header(scene, scene->ec, ES256);
}

/* Who signed it, and how. */

static char *nobody(struct scene *scene) {
    AUTO_FREE char *text = claims(scene, NULL, 0);
    return forge_unsigned("{\"alg\":\"none\",\"typ\":\"JWT\",\"kid\":\"r1\"}", text);
}

static char *nobody_in_capitals(struct scene *scene) {
    AUTO_FREE char *text = claims(scene, NULL, 0);
    return signed_by("{\"alg\":\"nOnE\",\"typ\":\"JWT\",\"kid\":\"r1\"}", text, "x", 1);
}

static char *nobody_as_rs256(struct scene *scene) {
    AUTO_FREE char *text = claims(scene, NULL, 0);
    return forge_unsigned(RS256, text);
}

static char *hs256(struct scene *scene, const void *secret, size_t size) {
    AUTO_FREE char *text = claims(scene, NULL, 0);
    AUTO_FREE char *start = forge_unsigned("{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"r1\"}", text);
    unsigned char mac[32];
    unsigned mac_size = sizeof mac;
    assert_non_null(HMAC(EVP_sha256(), secret, (int)size, (unsigned char *)start, strlen(start) - 1, mac, &mac_size));
    AUTO_FREE char *signature = text_base64url(mac, mac_size);
    return text_format("%s%s", start, signature);
}

static char *the_public_key_as_secret(struct scene *scene, bool pem) {
    BIO *out = BIO_new(BIO_s_mem());
    assert_int_equal(pem ? PEM_write_bio_PUBKEY(out, scene->rsa) : i2d_PUBKEY_bio(out, scene->rsa), 1);
    char *bytes;
    long size = BIO_get_mem_data(out, &bytes);
    char *token = hs256(scene, bytes, (size_t)size);
    BIO_free(out);
    return token;
}

static char *hs256_with_the_keys_pem(struct scene *scene) {
    return the_public_key_as_secret(scene, true);
}

static char *hs256_with_the_keys_der(struct scene *scene) {
    return the_public_key_as_secret(scene, false);
}

static char *hs256_with_the_keys_jwk(struct scene *scene) {
    AUTO_FREE char *jwk = forge_jwk(scene->rsa, "r1", "");
    return hs256(scene, jwk, strlen(jwk));
}

static char *as_another(struct scene *scene, const char *algorithm, const char *digest, bool pss) {
    AUTO_FREE char *text = claims(scene, NULL, 0);
    AUTO_FREE char *header = text_format("{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"r1\"}", algorithm);
    return forge_token_as(scene->rsa, digest, pss, header, text);
}

static char *rs384(struct scene *scene) {
    return as_another(scene, "RS384", "SHA384", false);
}

static char *rs512(struct scene *scene) {
    return as_another(scene, "RS512", "SHA512", false);
}

static char *ps256(struct scene *scene) {
    return as_another(scene, "PS256", "SHA256", true);
}

static char *ps256_called_rs256(struct scene *scene) {
    return as_another(scene, "RS256", "SHA256", true);
}

static char *rs512_called_rs256(struct scene *scene) {
    return as_another(scene, "RS256", "SHA512", false);
}

static char *a_stranger(struct scene *scene) {
    return with_header(scene, scene->stranger, RS256);
}

static char *a_stranger_without_a_name(struct scene *scene) {
    return with_header(scene, scene->stranger, "{\"alg\":\"RS256\",\"typ\":\"JWT\"}");
}

static char *a_stranger_with_a_key_of_his_own(struct scene *scene) {
    AUTO_FREE char *jwk = forge_jwk(scene->stranger, "r1", "");
    AUTO_FREE char *header = text_format("{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"r1\",\"jwk\":%s}", jwk);
    return with_header(scene, scene->stranger, header);
}

static char *a_stranger_with_an_address(struct scene *scene) {
    AUTO_FREE char *header = text_format(
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"r1\",\"jku\":\"%sother-keys\",\"x5u\":\"%sother-keys\","
        "\"x5c\":[\"MIIB\"]}",
        scene->issuer.url, scene->issuer.url);
    return with_header(scene, scene->stranger, header);
}

static char *the_other_key_of_that_name(struct scene *scene) {
    return with_header(scene, scene->ec, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"r1\"}");
}

static char *the_wrong_key_of_that_name(struct scene *scene) {
    return with_header(scene, scene->rsa, "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"r1\"}");
}

static char *a_name_that_is_no_text(struct scene *scene) {
    return with_header(scene, scene->rsa, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":[\"r1\"]}");
}

static char *an_algorithm_that_is_no_text(struct scene *scene) {
    return with_header(scene, scene->rsa, "{\"alg\":[\"RS256\"],\"typ\":\"JWT\",\"kid\":\"r1\"}");
}

static char *claims_of_another(struct scene *scene) {
    AUTO_FREE char *mine = good(scene), *his = NULL, *text = NULL;
    const struct change changes[] = {{"sub", "\"auth0|eve\""}};
    text = claims(scene, changes, 1);
    his = forge_unsigned(RS256, text);
    return text_format("%s%s", his, strrchr(mine, '.') + 1);
}

/* The signature's bytes. */

static char *rsa_signature(struct scene *scene, size_t cut, const char *more) {
    AUTO_FREE char *text = claims(scene, NULL, 0), *start = forge_unsigned(RS256, text);
    start[strlen(start) - 1] = '\0';
    size_t size = 0, added = strlen(more);
    AUTO_FREE unsigned char *bytes = forge_signature(scene->rsa, start, false, &size);
    memcpy(bytes + size, more, added);
    return signed_by(RS256, text, bytes, size - cut + added);
}

static char *rsa_cut_by_one(struct scene *scene) {
    return rsa_signature(scene, 1, "");
}

static char *rsa_cut_to_one(struct scene *scene) {
    return rsa_signature(scene, 255, "");
}

static char *rsa_with_one_more(struct scene *scene) {
    return rsa_signature(scene, 0, "x");
}

/* r and s are what change leaves of a good signature's. */
static char *es256(struct scene *scene, void change(unsigned char raw[66]), size_t size) {
    AUTO_FREE char *text = claims(scene, NULL, 0), *start = forge_unsigned(ES256, text);
    start[strlen(start) - 1] = '\0';
    size_t full = 0;
    AUTO_FREE unsigned char *raw = forge_signature(scene->ec, start, false, &full);
    unsigned char bytes[66] = {0};
    memcpy(bytes, raw, full);
    change(bytes);
    return signed_by(ES256, text, bytes, size);
}

static void keep(unsigned char raw[66]) {
    (void)raw;
}

static void zero_r(unsigned char raw[66]) {
    memset(raw, 0, 32);
}

static void zero_s(unsigned char raw[66]) {
    memset(raw + 32, 0, 32);
}

static void zero_both(unsigned char raw[66]) {
    memset(raw, 0, 64);
}

/* The order of P-256 (SEC 2, 2.4.2): nothing, seen from the curve. */
static void s_of_the_order(unsigned char raw[66]) {
    static const unsigned char order[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff,
                                            0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                            0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    memcpy(raw + 32, order, 32);
}

static void highest(unsigned char raw[66]) {
    memset(raw, 0xff, 64);
}

static void swapped(unsigned char raw[66]) {
    unsigned char r[32];
    memcpy(r, raw, 32);
    memmove(raw, raw + 32, 32);
    memcpy(raw + 32, r, 32);
}

static char *es256_r_zero(struct scene *scene) {
    return es256(scene, zero_r, 64);
}

static char *es256_s_zero(struct scene *scene) {
    return es256(scene, zero_s, 64);
}

static char *es256_both_zero(struct scene *scene) {
    return es256(scene, zero_both, 64);
}

static char *es256_s_the_order(struct scene *scene) {
    return es256(scene, s_of_the_order, 64);
}

static char *es256_highest(struct scene *scene) {
    return es256(scene, highest, 64);
}

static char *es256_swapped(struct scene *scene) {
    return es256(scene, swapped, 64);
}

static char *es256_cut(struct scene *scene) {
    return es256(scene, keep, 63);
}

static char *es256_half(struct scene *scene) {
    return es256(scene, keep, 32);
}

static char *es256_longer(struct scene *scene) {
    return es256(scene, keep, 66);
}

static char *es256_as_der(struct scene *scene) {
    AUTO_FREE char *text = claims(scene, NULL, 0), *start = forge_unsigned(ES256, text);
    start[strlen(start) - 1] = '\0';
    size_t size = 0;
    AUTO_FREE unsigned char *der = forge_signature(scene->ec, start, true, &size);
    return signed_by(ES256, text, der, size);
}

/* The token's shape. */

static char *opaque(struct scene *scene) {
    (void)scene;
    return strdup("v1.MqZ8Qx0nB3kfJ0Zt1s2u3v4w5x6y7z");
}

static char *empty(struct scene *scene) {
    (void)scene;
    return strdup("");
}

static char *two_dots(struct scene *scene) {
    (void)scene;
    return strdup("..");
}

static char *without_signature(struct scene *scene) {
    char *token = good(scene);
    *strrchr(token, '.') = '\0';
    return token;
}

static char *without_header(struct scene *scene) {
    AUTO_FREE char *token = good(scene);
    return strdup(strchr(token, '.'));
}

static char *without_claims(struct scene *scene) {
    AUTO_FREE char *token = good(scene);
    char *end = strrchr(token, '.');
    *strchr(token, '.') = '\0';
    return text_format("%s.%s", token, end);
}

static char *with_a_fourth_piece(struct scene *scene) {
    AUTO_FREE char *token = good(scene);
    return text_format("%s.e30", token);
}

static char *with_a_dot_at_the_end(struct scene *scene) {
    AUTO_FREE char *token = good(scene);
    return text_format("%s.", token);
}

static char *with_padding(struct scene *scene) {
    AUTO_FREE char *token = good(scene); /* 256 bytes are 342 characters of base64 and two of padding */
    return text_format("%s==", token);
}

static char *with_a_line_end(struct scene *scene) {
    AUTO_FREE char *token = good(scene);
    return text_format("%s\n", token);
}

static char *with_a_blank_before(struct scene *scene) {
    AUTO_FREE char *token = good(scene);
    return text_format(" %s", token);
}

/* Base64 in place of base64url: the same bits in letters of another alphabet. */
static char *in_another_alphabet(struct scene *scene) {
    for (;;) {
        char *token = good(scene), *odd = strpbrk(strrchr(token, '.'), "-_");
        if (odd) {
            *odd = *odd == '-' ? '+' : '/';
            return token;
        }
        free(token);
    }
}

/* The last character of the claims has bits that decode to nothing: two texts of the same bytes. */
static char *with_loose_bits(struct scene *scene) {
    char *token = good(scene), *last = token + strlen(token) - 1; /* 342 = 4 * 85 + 2: four bits are loose */
    *last = *last == 'A' ? 'B' : (char)(*last + 1);
    return token;
}

static char *of_claims(struct scene *scene, const char *text) {
    return forge_token(scene->rsa, RS256, text);
}

static char *a_claim_twice(struct scene *scene) {
    AUTO_FREE char *text = claims(scene, NULL, 0);
    AUTO_FREE char *twice = text_format("{\"sub\":\"auth0|eve\",%s", text + 1);
    return of_claims(scene, twice);
}

static char *a_claim_twice_within(struct scene *scene) {
    const struct change changes[] = {{"more", "{\"a\":1,\"b\":[{\"c\":1,\"c\":2}]}"}};
    return token_with(scene, RS256, changes, 1);
}

static char *an_algorithm_twice(struct scene *scene) {
    return with_header(scene, scene->rsa, "{\"alg\":\"none\",\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"r1\"}");
}

static char *nested(struct scene *scene, size_t depth) {
    AUTO_FREE char *deep = calloc(1, 2 * depth + 1);
    memset(deep, '[', depth);
    memset(deep + depth, ']', depth);
    const struct change changes[] = {{"deep", deep}};
    return token_with(scene, RS256, changes, 1);
}

static char *nested_a_little(struct scene *scene) {
    return nested(scene, 8);
}

static char *nested_deeply(struct scene *scene) {
    return nested(scene, 2000);
}

static char *an_array_of_claims(struct scene *scene) {
    AUTO_FREE char *text = claims(scene, NULL, 0), *array = text_format("[%s]", text);
    return of_claims(scene, array);
}

static char *claims_and_more(struct scene *scene) {
    AUTO_FREE char *text = claims(scene, NULL, 0), *more = text_format("%s{}", text);
    return of_claims(scene, more);
}

static char *claims_cut_short(struct scene *scene) {
    AUTO_FREE char *text = claims(scene, NULL, 0);
    text[strlen(text) - 1] = '\0';
    return of_claims(scene, text);
}

static char *claims_that_are_not_utf8(struct scene *scene) {
    const struct change changes[] = {{"name", "\"\xff\xfe\""}};
    return token_with(scene, RS256, changes, 1);
}

static char *padded_to(struct scene *scene, size_t size) {
    AUTO_FREE char *pad = malloc(size + 3);
    assert_non_null(pad);
    memset(pad, 'x', size + 2);
    pad[0] = pad[size + 1] = '"';
    pad[size + 2] = '\0';
    const struct change changes[] = {{"pad", pad}};
    return token_with(scene, RS256, changes, 1);
}

static char *of_8_kib(struct scene *scene) {
    return padded_to(scene, 4 << 10);
}

static char *of_10_mib(struct scene *scene) {
    return padded_to(scene, 10 << 20);
}

static const struct {
    const char *what;
    char *(*make)(struct scene *scene); /* the caller frees */
    int result;
} rows[] = {
    {"a good one", good, 0},
    {"a good one, ES256", good_es256, 0},
    {"alg none", nobody, VERIFY_REFUSED},
    {"alg nOnE with a signature", nobody_in_capitals, VERIFY_REFUSED},
    {"RS256 without a signature", nobody_as_rs256, VERIFY_REFUSED},
    {"HS256 with the public key's PEM as secret", hs256_with_the_keys_pem, VERIFY_REFUSED},
    {"HS256 with the public key's DER as secret", hs256_with_the_keys_der, VERIFY_REFUSED},
    {"HS256 with the public key's JWK as secret", hs256_with_the_keys_jwk, VERIFY_REFUSED},
    {"RS384 by the right key", rs384, VERIFY_REFUSED},
    {"RS512 by the right key", rs512, VERIFY_REFUSED},
    {"PS256 by the right key", ps256, VERIFY_REFUSED},
    {"PS256 that is called RS256", ps256_called_rs256, VERIFY_REFUSED},
    {"RS512 that is called RS256", rs512_called_rs256, VERIFY_REFUSED},
    {"the key of another issuer", a_stranger, VERIFY_REFUSED},
    {"the key of another issuer, without kid", a_stranger_without_a_name, VERIFY_REFUSED},
    {"jwk in the header", a_stranger_with_a_key_of_his_own, VERIFY_REFUSED},
    {"jku, x5u and x5c in the header", a_stranger_with_an_address, VERIFY_REFUSED},
    {"kid twice, the key of the other type", the_other_key_of_that_name, 0},
    {"kid twice, and alg of the other type", the_wrong_key_of_that_name, VERIFY_REFUSED},
    {"kid an array", a_name_that_is_no_text, VERIFY_REFUSED},
    {"alg an array", an_algorithm_that_is_no_text, VERIFY_REFUSED},
    {"the signature of other claims", claims_of_another, VERIFY_REFUSED},
    {"RS256 signature cut by one byte", rsa_cut_by_one, VERIFY_REFUSED},
    {"RS256 signature cut to one byte", rsa_cut_to_one, VERIFY_REFUSED},
    {"RS256 signature with one byte more", rsa_with_one_more, VERIFY_REFUSED},
    {"ES256 with r zero", es256_r_zero, VERIFY_REFUSED},
    {"ES256 with s zero", es256_s_zero, VERIFY_REFUSED},
    {"ES256 with both zero", es256_both_zero, VERIFY_REFUSED},
    {"ES256 with s the order of the curve", es256_s_the_order, VERIFY_REFUSED},
    {"ES256 with r and s above the order", es256_highest, VERIFY_REFUSED},
    {"ES256 with r and s the wrong way round", es256_swapped, VERIFY_REFUSED},
    {"ES256 signature of 63 bytes", es256_cut, VERIFY_REFUSED},
    {"ES256 signature of 32 bytes", es256_half, VERIFY_REFUSED},
    {"ES256 signature of 66 bytes", es256_longer, VERIFY_REFUSED},
    {"ES256 signature as DER", es256_as_der, VERIFY_REFUSED},
    {"an opaque token", opaque, VERIFY_REFUSED},
    {"no token", empty, VERIFY_REFUSED},
    {"nothing but dots", two_dots, VERIFY_REFUSED},
    {"no signature and no dot for one", without_signature, VERIFY_REFUSED},
    {"no header", without_header, VERIFY_REFUSED},
    {"no claims", without_claims, VERIFY_REFUSED},
    {"a fourth piece", with_a_fourth_piece, VERIFY_REFUSED},
    {"a third dot", with_a_dot_at_the_end, VERIFY_REFUSED},
    {"padding", with_padding, VERIFY_REFUSED},
    {"a line end behind it", with_a_line_end, VERIFY_REFUSED},
    {"a blank before it", with_a_blank_before, VERIFY_REFUSED},
    {"base64, not base64url", in_another_alphabet, VERIFY_REFUSED},
    {"loose bits at the end", with_loose_bits, VERIFY_REFUSED},
    {"sub twice", a_claim_twice, VERIFY_REFUSED},
    {"a member twice, deeper", a_claim_twice_within, VERIFY_REFUSED},
    {"alg twice", an_algorithm_twice, VERIFY_REFUSED},
    {"arrays 8 deep", nested_a_little, 0},
    {"arrays 2,000 deep", nested_deeply, VERIFY_REFUSED},
    {"claims in an array", an_array_of_claims, VERIFY_REFUSED},
    {"claims and something behind them", claims_and_more, VERIFY_REFUSED},
    {"claims without their end", claims_cut_short, VERIFY_REFUSED},
    {"claims that are not UTF-8", claims_that_are_not_utf8, VERIFY_REFUSED},
    {"a token of 8 KiB", of_8_kib, 0},
    {"a token of 10 MiB", of_10_mib, VERIFY_REFUSED},
};

static void row_by_row(void **state) {
    struct scene *scene = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        AUTO_FREE char *token = rows[i].make(scene);
        int result = result_of(scene, token);
        if (result != rows[i].result)
            fail_msg("%s: %d instead of %d", rows[i].what, result, rows[i].result);
    }
    assert_int_equal(atomic_load(&scene->issuer.fetched), 1); /* none of them makes the server ask for keys */
    assert_int_equal(atomic_load(&scene->issuer.elsewhere), 0);
}

/* Keys of the set that are too weak to be believed, although the issuer itself names them. */
static void weak_keys_of_the_issuer_prove_nothing(void **state) {
    struct scene *scene = *state;
    static const unsigned bits[] = {512, 1024, 2040};
    AUTO_FREE char *text = claims(scene, NULL, 0), *strong = forge_jwk(scene->rsa, "r1", "");
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        EVP_PKEY *weak = forge_rsa(bits[i]);
        AUTO_FREE char *jwk = forge_jwk(weak, "weak", ""), *set = text_format("{\"keys\":[%s,%s]}", jwk, strong);
        AUTO_FREE char *token = forge_token(weak, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"weak\"}", text);
        AUTO_FREE char *unnamed = forge_token(weak, "{\"alg\":\"RS256\",\"typ\":\"JWT\"}", text);
        publish(scene, set);
        make_verify(scene, 0, 0);
        assert_int_equal(verify_prepare(scene->verify, NULL), 0);
        int result = result_of(scene, token); /* not known: the keys may not be asked for again yet */
        assert_true(result == VERIFY_REFUSED || result == VERIFY_UNPROVEN);
        assert_int_equal(result_of(scene, unnamed), VERIFY_REFUSED);
        EVP_PKEY_free(weak);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(row_by_row),
        TEST(weak_keys_of_the_issuer_prove_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
