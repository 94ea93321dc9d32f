/* TLS certificates of a test's own. */
#include "make_certificate.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void need(bool fine) {
    if (!fine)
        abort();
}

static char *take(gnutls_datum_t *datum) {
    char *text = strndup((char *)datum->data, datum->size);
    need(text);
    gnutls_free(datum->data);
    return text;
}

static void name_it(gnutls_x509_crt_t certificate, const char *dns) {
    unsigned char address[4];
    need(!gnutls_x509_crt_set_dn(certificate, "CN=test", NULL));
    if (inet_pton(AF_INET, dns, address) == 1)
        need(!gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_IPADDRESS, address, sizeof address,
                                                   GNUTLS_FSAN_SET));
    else
        need(!gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, dns, (unsigned)strlen(dns),
                                                   GNUTLS_FSAN_SET));
}

void make_certificate(const char *dns, int64_t begins_s, int64_t ends_s, char **chain, char **key) {
    gnutls_x509_privkey_t secret;
    gnutls_x509_crt_t certificate;
    gnutls_datum_t out;
    need(!gnutls_x509_privkey_init(&secret));
    need(!gnutls_x509_crt_init(&certificate));
    need(!gnutls_x509_privkey_generate(secret, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
    name_it(certificate, dns);
    need(!gnutls_x509_crt_set_version(certificate, 3) && !gnutls_x509_crt_set_serial(certificate, "\1", 1));
    need(!gnutls_x509_crt_set_activation_time(certificate, begins_s));
    need(!gnutls_x509_crt_set_expiration_time(certificate, ends_s));
    need(!gnutls_x509_crt_set_key(certificate, secret));
    need(!gnutls_x509_crt_sign2(certificate, certificate, secret, GNUTLS_DIG_SHA256, 0));
    need(!gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &out));
    *chain = take(&out);
    need(!gnutls_x509_privkey_export2(secret, GNUTLS_X509_FMT_PEM, &out));
    *key = take(&out);
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_privkey_deinit(secret);
}
