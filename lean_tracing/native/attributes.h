/* What the writer of spans needs of the encoder of attributes. */
#ifndef LEAN_TRACING_ATTRIBUTES_H
#define LEAN_TRACING_ATTRIBUTES_H

#include "bytes.h"

enum { OVERLAP = 1024 }; /* characters up to which a text is redacted whole */

typedef struct {
    PyObject_HEAD
    PyObject *encoder; /* the AttributeEncoder */
    PyObject *keys;    /* key -> bytes: what it means, and the encoded key */
    long long longest; /* characters of a text */
    unsigned char tag;
} Attributes;

extern PyTypeObject *attributes_type;

/* Puts all attributes of a dictionary, each with its tag; -1 with an exception, or without one if no twin is called. */
int put_attributes(Attributes *self, struct buffer *out, PyObject *attributes);

#endif
