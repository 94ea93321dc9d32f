/* TLS certificates, by GnuTLS. */
#include "s3/server/certificate.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct certificate {
    atomic_uint holders;
    gnutls_certificate_credentials_t credentials; /* owned, as all below */
    gnutls_x509_crt_t own;                        /* the first of the chain */
};

static gnutls_datum_t datum(const char *text) {
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)text, (unsigned)strlen(text)};
}

/* The chain alone first: so that the message names the file that is wrong. */
static int read_own(struct certificate *certificate, const gnutls_datum_t *chain, struct fault *fault) {
    int error = gnutls_x509_crt_init(&certificate->own);
    if (!error)
        error = gnutls_x509_crt_import(certificate->own, chain, GNUTLS_X509_FMT_PEM);
    return error ? fault_set(fault, -EINVAL, "there is no certificate in PEM form in it (%s)", gnutls_strerror(error))
                 : 0;
}

static int read_both(struct certificate *certificate, const gnutls_datum_t *chain, const gnutls_datum_t *key,
                     struct fault *fault) {
    int error = gnutls_certificate_allocate_credentials(&certificate->credentials);
    if (error)
        return -ENOMEM;
    error = gnutls_certificate_set_x509_key_mem2(certificate->credentials, chain, key, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (error == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return fault_set(fault, -EINVAL, "the key is not the certificate's: the two do not fit together");
    return error < 0 ? fault_set(fault, -EINVAL, "the key cannot be used (%s): it is to be PEM, without a password",
                                 gnutls_strerror(error))
                     : 0;
}

int certificate_create(struct certificate **out, const char *chain, const char *key, struct fault *fault) {
    struct certificate *certificate = calloc(1, sizeof *certificate);
    if (!certificate)
        return -ENOMEM;
    atomic_init(&certificate->holders, 1);
    gnutls_datum_t chain_datum = datum(chain), key_datum = datum(key);
    int error = read_own(certificate, &chain_datum, fault);
    if (!error)
        error = read_both(certificate, &chain_datum, &key_datum, fault);
    if (error)
        certificate_release(certificate);
    else
        *out = certificate;
    return error;
}

struct certificate *certificate_hold(struct certificate *certificate) {
    atomic_fetch_add(&certificate->holders, 1);
    return certificate;
}

void certificate_release(struct certificate *certificate) {
    if (!certificate || atomic_fetch_sub(&certificate->holders, 1) > 1)
        return;
    if (certificate->credentials)
        gnutls_certificate_free_credentials(certificate->credentials);
    if (certificate->own)
        gnutls_x509_crt_deinit(certificate->own);
    free(certificate);
}

void certificate_use(struct certificate *certificate, void *session) {
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, certificate->credentials);
}

void certificate_life(const struct certificate *certificate, int64_t *begins_s, int64_t *ends_s) {
    *begins_s = gnutls_x509_crt_get_activation_time(certificate->own);
    *ends_s = gnutls_x509_crt_get_expiration_time(certificate->own);
}

bool certificate_is_for(const struct certificate *certificate, const char *host) {
    return gnutls_x509_crt_check_hostname(certificate->own, host);
}
