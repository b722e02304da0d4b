/* Bytes in Protobuf's wire format; the twin is wire.py. */
#ifndef LEAN_TRACING_BYTES_H
#define LEAN_TRACING_BYTES_H

#include "native.h"

/* Grows from a part of the stack. An allocation that fails is remembered in `failed`. */
struct buffer {
    unsigned char *data;
    Py_ssize_t size, capacity;
    int failed;
    int is_alone; /* no twin is called, and nothing is allocated: what needs that is left to another time */
    unsigned char first[2048];
};

static inline void begin(struct buffer *out, int is_alone)
{
    out->is_alone = is_alone;
    out->data = out->first;
    out->size = 0;
    out->capacity = sizeof out->first;
    out->failed = 0;
}

static inline void release(struct buffer *out)
{
    if (out->data != out->first)
        PyMem_Free(out->data);
}

static inline int grow(struct buffer *out, Py_ssize_t more)
{
    if (out->failed || out->is_alone || more > PY_SSIZE_T_MAX / 2 - out->size)
        return out->failed = 1, 0;
    Py_ssize_t capacity = 2 * (out->size + more);
    unsigned char *data = out->data == out->first ? PyMem_Malloc(capacity) : PyMem_Realloc(out->data, capacity);
    if (data == NULL)
        return out->failed = 1, 0;
    if (out->data == out->first)
        memcpy(data, out->first, out->size);
    out->data = data;
    out->capacity = capacity;
    return 1;
}

/* Room for `count` bytes; NULL if there is none. */
static inline unsigned char *room(struct buffer *out, Py_ssize_t count)
{
    if (out->capacity - out->size < count && !grow(out, count))
        return NULL;
    unsigned char *place = out->data + out->size;
    out->size += count;
    return place;
}

static inline void put(struct buffer *out, const void *bytes, Py_ssize_t count)
{
    unsigned char *place = room(out, count);
    if (place != NULL && count)
        memcpy(place, bytes, count);
}

static inline void put_byte(struct buffer *out, unsigned char byte)
{
    put(out, &byte, 1);
}

static inline int varint(unsigned char *place, uint64_t number)
{
    int size = 0;
    for (; number > 127; number >>= 7)
        place[size++] = (unsigned char)(number & 127) | 128;
    place[size++] = (unsigned char)number;
    return size;
}

static inline int varint_size(uint64_t number)
{
    int size = 1;
    while (number >>= 7)
        size++;
    return size;
}

static inline void put_varint(struct buffer *out, uint64_t number)
{
    unsigned char bytes[10];
    put(out, bytes, varint(bytes, number));
}

static inline void store(unsigned char *place, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++)
        place[i] = (unsigned char)(number >> 8 * i);
}

static inline void put_sized(struct buffer *out, unsigned char tag, const void *bytes, Py_ssize_t count)
{
    put_byte(out, tag);
    put_varint(out, (uint64_t)count);
    put(out, bytes, count);
}

/* Puts what a twin returned; a reference to it is taken over. -1 if it is no bytes. */
static inline int put_returned(struct buffer *out, PyObject *bytes)
{
    if (bytes == NULL)
        return -1;
    if (!PyBytes_CheckExact(bytes)) {
        PyErr_Format(PyExc_TypeError, "bytes were expected, not %s", Py_TYPE(bytes)->tp_name);
        Py_DECREF(bytes);
        return -1;
    }
    put(out, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
    Py_DECREF(bytes);
    return 0;
}

/* Puts what a twin makes of `argument`; -1 with an exception, or without one if no twin is called. */
static inline int put_twin(struct buffer *out, PyObject *encoder, PyObject *method, PyObject *argument)
{
    return out->is_alone ? -1 : put_returned(out, PyObject_CallMethodOneArg(encoder, method, argument));
}

static inline PyObject *bytes_of(struct buffer *out)
{
    return out->failed ? PyErr_NoMemory() : PyBytes_FromStringAndSize((char *)out->data, out->size);
}

#endif
