/* Reads and writes W3C's traceparent in the form that is in use.
 *
 * `parent_in` is the twin of Propagator.from_http and from_kafka, `traceparent` that of the function of this name
 * (propagation.py).
 */
#include "native.h"

enum { TRACE_ID = 3, SPAN_ID = 36, FLAGS = 53, LENGTH = 55 };

/* In small letters; the last ones are those of which only the twin reads the values. */
static const char *const names[] = {"traceparent", "tracestate", "baggage", "x-correlation-id"};

static int has_name(const char *text, Py_ssize_t length, const char *name)
{
    if (length != (Py_ssize_t)strlen(name))
        return 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        char c = text[i];
        if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != name[i])
            return 0;
    }
    return 1;
}

/* A digit in small letters; -1 if it is none. */
static int value_of_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads `count` bytes of two digits each; 0 if there are other characters. */
static int read_bytes(const char *text, unsigned char *place, int count)
{
    for (int i = 0; i < count; i++) {
        int high = value_of_digit(text[2 * i]), low = value_of_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return 0;
        place[i] = (unsigned char)(16 * high + low);
    }
    return 1;
}

/* The context of a caller, with the ids of a traceparent; None if only the twin can read it. */
static PyObject *context_of(PyObject *value)
{
    static const unsigned char none[16] = {0};
    unsigned char trace_id[16], span_id[8], flags;
    if (!PyBytes_CheckExact(value) || PyBytes_GET_SIZE(value) != LENGTH)
        Py_RETURN_NONE;
    const char *text = PyBytes_AS_STRING(value);
    if (text[0] != '0' || text[1] != '0' || text[TRACE_ID - 1] != '-' || text[SPAN_ID - 1] != '-'
        || text[FLAGS - 1] != '-' || !read_bytes(text + TRACE_ID, trace_id, 16)
        || !read_bytes(text + SPAN_ID, span_id, 8) || !read_bytes(text + FLAGS, &flags, 1)
        || !memcmp(trace_id, none, 16) || !memcmp(span_id, none, 8))
        Py_RETURN_NONE;
    PyObject *made = NULL, *span = NULL, *context = library.span_context->tp_alloc(library.span_context, 6);
    if (context == NULL)
        return NULL;
    PyTuple_SET_ITEM(context, 0, _PyLong_FromByteArray(trace_id, 16, 0, 0));
    PyTuple_SET_ITEM(context, 1, _PyLong_FromByteArray(span_id, 8, 0, 0));
    PyTuple_SET_ITEM(context, 2, Py_NewRef(Py_True));
    PyTuple_SET_ITEM(context, 3, Py_NewRef(PyTuple_GET_ITEM(library.flags, flags)));
    PyTuple_SET_ITEM(context, 4, Py_NewRef(library.no_state));
    PyTuple_SET_ITEM(context, 5, Py_NewRef(Py_True));
    if (PyTuple_GET_ITEM(context, 0) != NULL && PyTuple_GET_ITEM(context, 1) != NULL)
        span = PyObject_CallOneArg((PyObject *)library.non_recording, context);
    if (span != NULL)
        made = PyObject_CallNoArgs((PyObject *)library.context);
    if (made != NULL && PyDict_SetItem(made, library.span_key, span) < 0)
        Py_CLEAR(made);
    Py_XDECREF(span);
    Py_DECREF(context);
    return made;
}

/* The name of a header if it is of the type that this kind of headers has. */
static const char *name_of(PyObject *name, int is_http, Py_ssize_t *length)
{
    if (is_http && PyBytes_CheckExact(name)) {
        *length = PyBytes_GET_SIZE(name);
        return PyBytes_AS_STRING(name);
    }
    return !is_http && PyUnicode_CheckExact(name) ? PyUnicode_AsUTF8AndSize(name, length) : NULL;
}

PyObject *parent_in(PyObject *headers, int is_http)
{
    PyObject *parent = NULL;
    if (!PyList_CheckExact(headers))
        Py_RETURN_NONE;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *header = PyList_GET_ITEM(headers, i);
        Py_ssize_t length = 0;
        if (!PyTuple_CheckExact(header) || PyTuple_GET_SIZE(header) != 2)
            Py_RETURN_NONE;
        const char *name = name_of(PyTuple_GET_ITEM(header, 0), is_http, &length);
        if (name == NULL) { /* of another type, or no UTF-8 */
            PyErr_Clear();
            Py_RETURN_NONE;
        }
        for (size_t known = 0; known < sizeof names / sizeof *names; known++) {
            if (!has_name(name, length, names[known]))
                continue;
            if (known > 0 || parent != NULL)
                Py_RETURN_NONE;
            parent = PyTuple_GET_ITEM(header, 1);
        }
    }
    if (parent == NULL)
        Py_RETURN_NONE;
    return context_of(parent);
}

PyObject *traceparent(PyObject *context)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char ids[16 + 8];
    if (!is_span_context(context) || !PyLong_Check(PyTuple_GET_ITEM(context, 3))
        || !big_endian(PyTuple_GET_ITEM(context, 0), ids, 16) || !big_endian(PyTuple_GET_ITEM(context, 1), ids + 16, 8))
        Py_RETURN_NONE;
    unsigned long flags = PyLong_AsUnsignedLongMask(PyTuple_GET_ITEM(context, 3));
    if (flags > 0xFF)
        Py_RETURN_NONE;
    char text[LENGTH];
    memset(text, '-', sizeof text);
    text[0] = text[1] = '0';
    for (int i = 0; i < 24; i++) {
        char *place = text + (i < 16 ? TRACE_ID + 2 * i : SPAN_ID + 2 * (i - 16));
        place[0] = digits[ids[i] >> 4];
        place[1] = digits[ids[i] & 15];
    }
    text[FLAGS] = digits[flags >> 4];
    text[FLAGS + 1] = digits[flags & 15];
    return PyUnicode_FromStringAndSize(text, LENGTH);
}
