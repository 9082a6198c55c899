/* relay.h - stands between a client and a service on the loopback: records what the client sends, speaks TLS to it
 * where asked to, and can break. */
#ifndef TT_TESTS_RELAY_H
#define TT_TESTS_RELAY_H

#include "base/text.h"
#include "tests/support/temp-folder.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct relay {
    uint16_t port, target;
    int listener;
    void *tls; /* SSL_CTX */
    pthread_t thread;
    atomic_bool is_stopping;
    size_t break_after; /* closes for good once so many bytes came from the client; 0: never */
    tt_text sent;       /* by the client, decrypted; look at it after the stop */
} relay;

/* certificate: NULL, or the name that relay_certificate was given. */
void relay_start(relay *r, uint16_t target, const temp_folder *folder, const char *certificate);

/* No connection is taken or kept from here on. */
void relay_stop(relay *r);
void relay_free(relay *r);

/* True when the client sent these bytes. */
bool relay_saw(const relay *r, const void *bytes, size_t n_bytes);

/* Writes a key and a certificate that it signed itself, NAME-key.pem and NAME.pem, for a subject alternative name
 * ("IP:127.0.0.1"), valid from `from` to `to` seconds after now. */
void relay_certificate(const temp_folder *folder, const char *name, const char *subject, long from, long to);

#endif
