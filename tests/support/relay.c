/* relay.c - one thread, one connection at a time. */
#define _GNU_SOURCE
#include "tests/support/relay.h"

#include "tests/support/http-peer.h"
#include "tests/support/scripted-server.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- certificates */

static void write_pem(const temp_folder *folder, const char *name, EVP_PKEY *key, X509 *certificate)
{
    char file[64], path[TT_TEMP_PATH];
    (void)snprintf(file, sizeof file, "%s-key.pem", name);
    FILE *stream = fopen(temp_folder_path(folder, file, path), "wb");
    assert_non_null(stream);
    assert_int_equal(PEM_write_PrivateKey(stream, key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(stream);
    (void)snprintf(file, sizeof file, "%s.pem", name);
    stream = fopen(temp_folder_path(folder, file, path), "wb");
    assert_non_null(stream);
    assert_int_equal(PEM_write_X509(stream, certificate), 1);
    (void)fclose(stream);
}

void relay_certificate(const temp_folder *folder, const char *name, const char *subject, long from, long to)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    assert_non_null(key);
    assert_non_null(certificate);
    X509_NAME *owner = X509_get_subject_name(certificate);
    assert_int_equal(X509_set_version(certificate, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), from));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), to));
    assert_int_equal(
        X509_NAME_add_entry_by_txt(owner, "CN", MBSTRING_ASC, (const unsigned char *)"tintype test", -1, -1, 0), 1);
    assert_int_equal(X509_set_issuer_name(certificate, owner), 1);
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, subject);
    assert_non_null(names);
    assert_int_equal(X509_add_ext(certificate, names, -1), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    write_pem(folder, name, key, certificate);
    X509_EXTENSION_free(names);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void load_certificate(relay *r, const temp_folder *folder, const char *name)
{
    char file[64], path[TT_TEMP_PATH];
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    assert_non_null(tls);
    (void)snprintf(file, sizeof file, "%s.pem", name);
    assert_int_equal(SSL_CTX_use_certificate_file(tls, temp_folder_path(folder, file, path), SSL_FILETYPE_PEM), 1);
    (void)snprintf(file, sizeof file, "%s-key.pem", name);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(tls, temp_folder_path(folder, file, path), SSL_FILETYPE_PEM), 1);
    r->tls = tls;
}

/* ---- moving bytes */

typedef struct tunnel {
    int client, service;
    SSL *tls;
} tunnel;

static ssize_t from_client(tunnel *l, char *bytes, size_t n)
{
    return l->tls != NULL ? SSL_read(l->tls, bytes, (int)n) : recv(l->client, bytes, n, 0);
}

static bool to_client(tunnel *l, const char *bytes, size_t n)
{
    return l->tls != NULL ? SSL_write(l->tls, bytes, (int)n) == (int)n : http_send(l->client, bytes, n);
}

static bool is_broken(const relay *r)
{
    return r->break_after > 0 && r->sent.n_bytes >= r->break_after;
}

static bool pump_up(relay *r, tunnel *l)
{
    char bytes[16384];
    do {
        const ssize_t n = from_client(l, bytes, sizeof bytes);
        if (n <= 0)
            return false;
        tt_text_add(&r->sent, bytes, (size_t)n);
        if (is_broken(r) || !http_send(l->service, bytes, (size_t)n))
            return false;
    } while (l->tls != NULL && SSL_pending(l->tls) > 0);
    return true;
}

static bool pump_down(tunnel *l)
{
    char bytes[16384];
    const ssize_t n = recv(l->service, bytes, sizeof bytes, 0);
    return n > 0 && to_client(l, bytes, (size_t)n);
}

static void pump(relay *r, tunnel *l)
{
    struct pollfd waits[2] = {{.fd = l->client, .events = POLLIN}, {.fd = l->service, .events = POLLIN}};
    bool goes_on = true;
    while (goes_on && !atomic_load(&r->is_stopping)) {
        if (poll(waits, 2, 20) <= 0)
            continue;
        if (waits[0].revents != 0)
            goes_on = pump_up(r, l);
        if (goes_on && waits[1].revents != 0)
            goes_on = pump_down(l);
    }
}

static void serve(relay *r, int client)
{
    tunnel l = {.client = client};
    if (r->tls != NULL) {
        l.tls = SSL_new(r->tls);
        (void)SSL_set_fd(l.tls, client);
    }
    if (l.tls == NULL || SSL_accept(l.tls) == 1) {
        l.service = http_connect(r->target);
        pump(r, &l);
        (void)close(l.service);
    }
    SSL_free(l.tls);
    (void)close(client);
}

static void *run(void *user)
{
    relay *r = user;
    struct pollfd wait = {.fd = r->listener, .events = POLLIN};
    while (!atomic_load(&r->is_stopping) && !is_broken(r)) {
        const int client = poll(&wait, 1, 20) > 0 ? accept4(r->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (client >= 0)
            serve(r, client);
    }
    (void)close(r->listener);
    return NULL;
}

void relay_start(relay *r, uint16_t target, const temp_folder *folder, const char *certificate)
{
    const size_t break_after = r->break_after;
    *r = (relay){.target = target, .break_after = break_after};
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to closed connections */
    r->listener = loopback_listen(&r->port);
    if (certificate != NULL)
        load_certificate(r, folder, certificate);
    assert_int_equal(pthread_create(&r->thread, NULL, run, r), 0);
}

void relay_stop(relay *r)
{
    atomic_store(&r->is_stopping, true);
    assert_int_equal(pthread_join(r->thread, NULL), 0);
}

void relay_free(relay *r)
{
    SSL_CTX_free(r->tls);
    tt_text_free(&r->sent);
}

bool relay_saw(const relay *r, const void *bytes, size_t n_bytes)
{
    for (size_t i = 0; i + n_bytes <= r->sent.n_bytes; i++)
        if (memcmp(r->sent.bytes + i, bytes, n_bytes) == 0)
            return true;
    return false;
}
