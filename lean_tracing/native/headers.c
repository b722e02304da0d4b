/* Reads and writes W3C's traceparent in the form that is in use; the twins are the methods of Propagator
 * (propagation.py).
 */
#include "native.h"

enum { TRACE_ID = 3, SPAN_ID = 36, FLAGS = 53, LENGTH = 55 };

/* In small letters; the last ones are those of which only the twin reads the values. */
static const char *const names[] = {"traceparent", "tracestate", "baggage", "x-correlation-id"};
enum { CORRELATION = 3 };
/* The names of the headers that are written: in messages, and in responses. */
static PyObject *traceparent_text, *correlation_text, *traceparent_name, *correlation_name;
static PyObject *str_context, *str_attributes, *no_arguments;

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
        span = library.non_recording->tp_new(library.non_recording, no_arguments, NULL);
    if (span != NULL && PyObject_SetAttr(span, str_context, context) < 0) /* all that its constructor does */
        Py_CLEAR(span);
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
    if (name == NULL)
        return NULL;
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

/* A link to the span of a context that was read from headers. */
static PyObject *link_to(PyObject *context)
{
    PyObject *span = PyDict_GetItemWithError(context, library.span_key);
    PyObject *creation = span == NULL ? NULL : span_context_of(span);
    PyObject *link = creation == NULL ? NULL : library.link->tp_new(library.link, no_arguments, NULL);
    /* All that its constructor does. */
    if (link != NULL
        && (PyObject_SetAttr(link, str_context, creation) < 0 || PyObject_SetAttr(link, str_attributes, Py_None) < 0))
        Py_CLEAR(link);
    Py_XDECREF(creation);
    return link;
}

PyObject *producer_in(PyObject *headers)
{
    PyObject *context = parent_in(headers, 0);
    if (context == NULL || context == Py_None)
        return context;
    PyObject *link = link_to(context);
    PyObject *links = link == NULL ? NULL : PyTuple_Pack(1, link);
    PyObject *both = links == NULL ? NULL : PyTuple_Pack(2, context, links);
    Py_DECREF(context);
    Py_XDECREF(link);
    Py_XDECREF(links);
    return both;
}

/* Whether `text` takes the header's value for a SpanContext; 0 if only the twin can write it. */
static int write_traceparent(PyObject *context, char text[LENGTH])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char ids[16 + 8];
    if (!is_span_context(context) || !PyLong_Check(PyTuple_GET_ITEM(context, 3))
        || !big_endian(PyTuple_GET_ITEM(context, 0), ids, 16) || !big_endian(PyTuple_GET_ITEM(context, 1), ids + 16, 8))
        return 0;
    unsigned long flags = PyLong_AsUnsignedLongMask(PyTuple_GET_ITEM(context, 3));
    if (flags > 0xFF)
        return 0;
    memset(text, '-', LENGTH);
    text[0] = text[1] = '0';
    for (int i = 0; i < 24; i++) {
        char *place = text + (i < 16 ? TRACE_ID + 2 * i : SPAN_ID + 2 * (i - 16));
        place[0] = digits[ids[i] >> 4];
        place[1] = digits[ids[i] & 15];
    }
    text[FLAGS] = digits[flags >> 4];
    text[FLAGS + 1] = digits[flags & 15];
    return 1;
}

PyObject *traceparent(PyObject *context)
{
    char text[LENGTH];
    if (!write_traceparent(context, text))
        Py_RETURN_NONE;
    return PyUnicode_FromStringAndSize(text, LENGTH);
}

/* The same for the context of a span, if it has no state; 0 if only the twin can write it. */
static int write_span(PyObject *span, char text[LENGTH])
{
    PyObject *context = span_context_of(span);
    int is_written = is_span_context(context) && PyTuple_GET_ITEM(context, 5) == Py_True
                  && PyTuple_GET_ITEM(context, 4) == library.no_state && write_traceparent(context, text);
    Py_XDECREF(context);
    PyErr_Clear();
    return is_written;
}

/* 1 with the correlation id of a context, a new reference, or with NULL if there is none; 0 if only the twin can read
 * it. */
static int correlation_in(PyObject *context, PyObject **correlation)
{
    PyObject *value = PyDict_GetItemWithError(context, library.correlation_key);
    *correlation = NULL;
    if (value == NULL) {
        int is_known = !PyErr_Occurred();
        PyErr_Clear();
        return is_known;
    }
    if (!PyUnicode_CheckExact(value) || !PyUnicode_IS_ASCII(value) || PyUnicode_GET_LENGTH(value) == 0)
        return 0;
    *correlation = Py_NewRef(value);
    return 1;
}

/* Appends a header and takes over the reference to its value; -1 with an exception. */
static int append_header(PyObject *headers, PyObject *name, PyObject *value)
{
    PyObject *header = value == NULL ? NULL : PyTuple_Pack(2, name, value);
    int failed = header == NULL || PyList_Append(headers, header) < 0;
    Py_XDECREF(header);
    Py_XDECREF(value);
    return failed ? -1 : 0;
}

/* The bytes of an ASCII text. */
static PyObject *ascii(PyObject *text)
{
    return PyBytes_FromStringAndSize((const char *)PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text));
}

/* Whether a header of a message is one of those that carry a context; -1 if only the twin knows. */
static int carries_context(PyObject *header)
{
    PyObject *name = PyTuple_CheckExact(header) && PyTuple_GET_SIZE(header) == 2 ? PyTuple_GET_ITEM(header, 0) : NULL;
    if (name == NULL || !PyUnicode_CheckExact(name) || !PyUnicode_IS_ASCII(name))
        return -1;
    for (size_t known = 0; known < sizeof names / sizeof *names; known++)
        if (has_name((const char *)PyUnicode_1BYTE_DATA(name), PyUnicode_GET_LENGTH(name), names[known]))
            return 1;
    return 0;
}

/* The headers of a message that carry no context, in a new list; NULL with an exception, or without one if only the
 * twin knows. */
static PyObject *others_in(PyObject *headers)
{
    if (!PyList_CheckExact(headers) && !PyTuple_CheckExact(headers))
        return NULL;
    PyObject *others = PyList_New(0);
    for (Py_ssize_t i = 0; others != NULL && i < PySequence_Fast_GET_SIZE(headers); i++) {
        PyObject *header = PySequence_Fast_GET_ITEM(headers, i);
        int carries = carries_context(header);
        if (carries < 0 || (!carries && PyList_Append(others, header) < 0))
            Py_CLEAR(others);
    }
    return others;
}

PyObject *to_kafka(PyObject *headers, PyObject *context, PyObject *span)
{
    char text[LENGTH];
    PyObject *correlation;
    if (Py_TYPE(context) != library.context || !write_span(span, text) || !correlation_in(context, &correlation))
        Py_RETURN_NONE;
    PyObject *carried = others_in(headers);
    int is_unusual = carried == NULL && !PyErr_Occurred();
    if (carried != NULL
        && (append_header(carried, traceparent_text, PyBytes_FromStringAndSize(text, LENGTH)) < 0
            || (correlation != NULL && append_header(carried, correlation_text, ascii(correlation)) < 0)))
        Py_CLEAR(carried);
    Py_XDECREF(correlation);
    return is_unusual ? Py_NewRef(Py_None) : carried;
}

PyObject *answer(PyObject *context, PyObject *span)
{
    char text[LENGTH];
    PyObject *id, *result = NULL;
    if (Py_TYPE(context) != library.context || !write_span(span, text) || !correlation_in(context, &id))
        Py_RETURN_NONE;
    if (id == NULL)
        id = PyUnicode_FromStringAndSize(text + TRACE_ID, SPAN_ID - TRACE_ID - 1);
    PyObject *inner = id == NULL ? NULL : PyObject_CallNoArgs((PyObject *)library.context);
    PyObject *headers = inner == NULL ? NULL : PyList_New(0);
    if (headers != NULL && PyDict_Update(inner, context) == 0 && PyDict_SetItem(inner, library.span_key, span) == 0
        && PyDict_SetItem(inner, library.correlation_key, id) == 0
        && append_header(headers, correlation_name, ascii(id)) == 0
        && append_header(headers, traceparent_name, PyBytes_FromStringAndSize(text, LENGTH)) == 0)
        result = PyTuple_Pack(2, inner, headers);
    Py_XDECREF(id);
    Py_XDECREF(inner);
    Py_XDECREF(headers);
    return result;
}

int is_intact(PyObject *headers)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *header = PyList_GET_ITEM(headers, i);
        if (PyTuple_Check(header)
            && (PyTuple_GET_SIZE(header) != 2 || !PyTuple_GET_ITEM(header, 0) || !PyTuple_GET_ITEM(header, 1)))
            return 0;
    }
    return 1;
}

int headers_configure(void)
{
    str_context = PyUnicode_InternFromString("_context");
    str_attributes = PyUnicode_InternFromString("_attributes");
    no_arguments = PyTuple_New(0);
    traceparent_text = PyUnicode_InternFromString(names[0]);
    correlation_text = PyUnicode_InternFromString(names[CORRELATION]);
    traceparent_name = PyBytes_FromString(names[0]);
    correlation_name = PyBytes_FromString(names[CORRELATION]);
    PyObject *made[] = {
        str_context,      str_attributes,   no_arguments,     traceparent_text,
        correlation_text, traceparent_name, correlation_name,
    };
    for (size_t i = 0; i < sizeof made / sizeof *made; i++)
        if (made[i] == NULL)
            return -1;
    return 0;
}
