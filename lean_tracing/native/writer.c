/* Writes spans as OTLP; the twin is SpanEncoder.item (span_encoder.py). */
#include "attributes.h"

static PyObject *str_encode_shared, *str_name, *str_event, *str_link, *str_status, *str_state, *str_in_python,
    *str_attributes, *str_context;

typedef struct {
    PyObject_HEAD
    PyObject *encoder;            /* the SpanEncoder */
    PyObject *attribute_encoder;  /* its AttributeEncoder */
    PyObject *scope;              /* the usual one, which is that of the first span; NULL until then */
    Attributes *attributes;
} Writer;

enum { HAS_IS_REMOTE = 0x100, IS_REMOTE = 0x200 };

/* 1 if written, 0 if the ids are no ids. */
static int put_ids(struct buffer *out, PyObject *context)
{
    unsigned char *place = room(out, 28);
    if (place == NULL)
        return 1; /* `out` has failed */
    place[0] = 0x0a, place[1] = 16, place[18] = 0x12, place[19] = 8;
    return big_endian(PyTuple_GET_ITEM(context, 0), place + 2, 16)
        && big_endian(PyTuple_GET_ITEM(context, 1), place + 20, 8);
}

static int put_number(struct buffer *out, unsigned char tag, PyObject *number)
{
    if (!PyLong_CheckExact(number))
        return 0;
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow || value < 0)
        return 0;
    if (value) {
        put_byte(out, tag);
        put_varint(out, (uint64_t)value);
    }
    return 1;
}

static int flags_of(PyObject *context, uint32_t *flags)
{
    PyObject *own = PyTuple_GET_ITEM(context, 3);
    if (!PyLong_Check(own))
        return 0;
    *flags = (uint32_t)(PyLong_AsUnsignedLongMask(own) & 0xFF) | HAS_IS_REMOTE;
    return 1;
}

static void put_flags(struct buffer *out, uint32_t flags)
{
    unsigned char *place = room(out, 4);
    if (place != NULL)
        store(place, flags, 4);
}

static int put_name(Writer *self, struct buffer *out, PyObject *name)
{
    if (PyUnicode_CheckExact(name) && PyUnicode_GET_LENGTH(name) <= OVERLAP && is_harmless(name)) {
        put_sized(out, 0x2a, PyUnicode_1BYTE_DATA(name), PyUnicode_GET_LENGTH(name));
        return 0;
    }
    return put_twin(out, self->encoder, str_name, name);
}

static int put_shared(Writer *self, struct buffer *out, PyObject *shared)
{
    if (Py_TYPE(shared) == library.shared_attributes) {
        PyObject *encoded = *(PyObject **)((char *)shared + library.encoded);
        if (encoded != NULL && PyTuple_CheckExact(encoded) && PyTuple_GET_SIZE(encoded) == 2
            && PyTuple_GET_ITEM(encoded, 0) == self->attribute_encoder)
            return put_returned(out, Py_NewRef(PyTuple_GET_ITEM(encoded, 1)));
    }
    return put_twin(out, self->attribute_encoder, str_encode_shared, shared);
}

/* A link without attributes and without a state, as a consumer has one. 1 if written. */
static int put_plain_link(struct buffer *out, PyObject *link)
{
    if (Py_TYPE(link) != library.link)
        return 0;
    int written = 0;
    PyObject *attributes = PyObject_GetAttr(link, str_attributes); /* not its properties, which are calls of Python */
    PyObject *context = attributes == Py_None ? PyObject_GetAttr(link, str_context) : NULL;
    uint32_t flags;
    if (is_span_context(context) && PyTuple_GET_ITEM(context, 4) == library.no_state && flags_of(context, &flags)) {
        int is_remote = PyObject_IsTrue(PyTuple_GET_ITEM(context, 2));
        if (is_remote >= 0) {
            Py_ssize_t start = out->size;
            put_byte(out, 0x6a);
            put_varint(out, 33);
            written = put_ids(out, context);
            put_byte(out, 0x35);
            put_flags(out, flags | (is_remote ? IS_REMOTE : 0));
            if (!written)
                out->size = start;
        }
    }
    Py_XDECREF(context);
    Py_XDECREF(attributes);
    PyErr_Clear();
    return written;
}

static int put_calls(Writer *self, struct buffer *out, unsigned char tag, PyObject *items, PyObject *method)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items); i++) {
        PyObject *item = PyTuple_GET_ITEM(items, i);
        if (method == str_link && put_plain_link(out, item))
            continue;
        PyObject *encoded = out->is_alone ? NULL : PyObject_CallMethodOneArg(self->encoder, method, item);
        if (encoded == NULL)
            return -1;
        if (!PyBytes_CheckExact(encoded)) {
            Py_DECREF(encoded);
            PyErr_SetString(PyExc_TypeError, "an encoded event or link is bytes");
            return -1;
        }
        put_sized(out, tag, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded));
        Py_DECREF(encoded);
    }
    return 0;
}

/* The place of the kind in OTLP; 0 if it is none. */
static unsigned char kind_of(PyObject *kind)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(library.kinds); i++)
        if (PyTuple_GET_ITEM(library.kinds, i) == kind)
            return (unsigned char)(i + 1);
    return 0;
}

/* Writes the slots of a span. 1 if written, 0 if only the twin can write it, -1 with an exception, or without one if no
 * twin is called. */
static int put_span(Writer *self, struct buffer *out, PyObject *const *span)
{
    PyObject *context = span[CONTEXT], *parent = span[PARENT], *own = span[OWN_ATTRIBUTES];
    PyObject *shared = span[SHARED_ATTRIBUTES], *events = span[EVENTS], *links = span[LINKS];
    PyObject *started = span[START_TIME], *ended = span[END_TIME];
    unsigned char kind = kind_of(span[KIND]);
    uint32_t flags;
    if (!kind || !is_span_context(context) || !flags_of(context, &flags) || !PyDict_CheckExact(own)
        || !PyTuple_CheckExact(events) || !PyTuple_CheckExact(links) || !PyLong_CheckExact(started)
        || !PyLong_CheckExact(ended) || (parent != Py_None && !is_span_context(parent)))
        return 0;
    uint64_t start = PyLong_AsUnsignedLongLong(started), end = PyLong_AsUnsignedLongLong(ended);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }

    if (!put_ids(out, context))
        return 0;
    PyObject *state = PyTuple_GET_ITEM(context, 4);
    if (state != library.no_state && put_twin(out, self->encoder, str_state, state) < 0)
        return -1;
    if (parent != Py_None) {
        PyObject *id = PyTuple_GET_ITEM(parent, 1);
        int is_remote = PyObject_IsTrue(PyTuple_GET_ITEM(parent, 2)), has_id = PyObject_IsTrue(id);
        if (is_remote < 0 || has_id < 0)
            return -1;
        unsigned char *place = has_id ? room(out, 10) : NULL;
        if (place != NULL) {
            place[0] = 0x22, place[1] = 8;
            if (!big_endian(id, place + 2, 8))
                return 0;
        }
        if (is_remote)
            flags |= IS_REMOTE;
    }
    if (put_name(self, out, span[NAME]) < 0)
        return -1;
    unsigned char *place = room(out, 20);
    if (place != NULL) {
        place[0] = 0x30, place[1] = kind, place[2] = 0x39, place[11] = 0x41;
        store(place + 3, start, 8);
        store(place + 12, end, 8);
    }
    if (shared != Py_None && put_shared(self, out, shared) < 0)
        return -1;
    if (put_attributes(self->attributes, out, own) < 0)
        return -1;
    if (!put_number(out, 0x50, span[DROPPED_ATTRIBUTES]))
        return 0;
    if (put_calls(self, out, 0x5a, events, str_event) < 0 || !put_number(out, 0x60, span[DROPPED_EVENTS]))
        return PyErr_Occurred() ? -1 : 0;
    if (put_calls(self, out, 0x6a, links, str_link) < 0 || !put_number(out, 0x70, span[DROPPED_LINKS]))
        return PyErr_Occurred() ? -1 : 0;
    PyObject *status = span[STATUS];
    if (status == library.unset)
        put(out, "\x7a\x00", 2);
    else if (put_twin(out, self->encoder, str_status, status) < 0)
        return -1;
    put(out, "\x85\x01", 2);
    put_flags(out, flags);
    return 1;
}

static PyObject *sized_span(struct buffer *out)
{
    if (out->failed)
        return PyErr_NoMemory();
    unsigned char head[11] = {0x12};
    int size = 1 + varint(head + 1, (uint64_t)out->size);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, size + out->size);
    if (bytes != NULL) {
        memcpy(PyBytes_AS_STRING(bytes), head, size);
        memcpy(PyBytes_AS_STRING(bytes) + size, out->data, out->size);
    }
    return bytes;
}

/* The bytes of a span with tag and length, and its scope, both new references; NULL with an exception, or without one if
 * only the twin can write it, or if a twin has to be asked and `is_alone`. */
static PyObject *write_span(Writer *self, PyObject *span, int is_alone, PyObject **scope)
{
    int written = 0, is_whole = 1;
    PyObject *slots[SLOTS];
    struct buffer out;
    begin(&out, is_alone);
    for (int slot = 0; slot < SLOTS; slot++) { /* a twin that is called meanwhile may change the span */
        slots[slot] = Py_XNewRef(*slot_of(span, slot));
        is_whole &= slots[slot] != NULL;
    }
    if (is_whole)
        written = put_span(self, &out, slots);
    PyObject *bytes = written > 0 && !(is_alone && out.failed) ? sized_span(&out) : NULL;
    *scope = bytes == NULL ? NULL : Py_NewRef(slots[SCOPE]);
    for (int slot = 0; slot < SLOTS; slot++)
        Py_XDECREF(slots[slot]);
    release(&out);
    return bytes;
}

/* The scope and the bytes of an ended span, or of what `hand_over` made of one. */
static PyObject *writer_item(Writer *self, PyObject *item)
{
    if (PyTuple_CheckExact(item))
        return Py_NewRef(item);
    if (PyBytes_CheckExact(item) && self->scope != NULL)
        return PyTuple_Pack(2, self->scope, item);
    PyObject *scope = NULL, *bytes = is_span(item) ? write_span(self, item, 0, &scope) : NULL;
    if (bytes == NULL)
        return PyErr_Occurred() ? NULL : PyObject_CallMethodOneArg(self->encoder, str_in_python, item);
    PyObject *pair = PyTuple_Pack(2, scope, bytes);
    Py_DECREF(scope);
    Py_DECREF(bytes);
    return pair;
}

/* Gives an ended span to the function of a pair, after the writer: its bytes, with its scope unless that is the usual
 * one; the span itself if a twin has to write it. */
static PyObject *hand_over(PyObject *pair, PyObject *span)
{
    Writer *self = (Writer *)PyTuple_GET_ITEM(pair, 0);
    PyObject *scope = NULL, *item = is_span(span) ? write_span(self, span, 1, &scope) : NULL;
    if (item != NULL && self->scope == NULL)
        self->scope = Py_NewRef(scope);
    if (item != NULL && scope != self->scope)
        Py_SETREF(item, PyTuple_Pack(2, scope, item));
    Py_XDECREF(scope);
    if (item == NULL) {
        PyErr_Clear(); /* no memory: an exception would reach the application */
        item = Py_NewRef(span);
    }
    PyObject *result = PyObject_CallOneArg(PyTuple_GET_ITEM(pair, 1), item);
    Py_DECREF(item);
    return result;
}

static PyMethodDef hand_over_method = {"hand_over", hand_over, METH_O, "Takes an ended span."};

static PyObject *writer_hand_over_to(Writer *self, PyObject *put)
{
    PyObject *pair = PyTuple_Pack(2, (PyObject *)self, put);
    PyObject *function = pair == NULL ? NULL : PyCFunction_New(&hand_over_method, pair);
    Py_XDECREF(pair);
    return function;
}

static PyMethodDef writer_methods[] = {
    {"item", (PyCFunction)writer_item, METH_O, "An ended span: its scope, and its bytes."},
    {"hand_over_to", (PyCFunction)writer_hand_over_to, METH_O, "A function that gives ended spans to `put`, the common ones as bytes."},
    {NULL, NULL, 0, NULL},
};

static PyObject *writer_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named))
{
    PyObject *encoder, *attribute_encoder, *attributes;
    if (!PyArg_ParseTuple(args, "OOO!:Writer", &encoder, &attribute_encoder, attributes_type, &attributes))
        return NULL;
    Writer *self = (Writer *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->encoder = Py_NewRef(encoder);
    self->attribute_encoder = Py_NewRef(attribute_encoder);
    self->attributes = (Attributes *)Py_NewRef(attributes);
    return (PyObject *)self;
}

static int writer_traverse(Writer *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->encoder);
    Py_VISIT(self->attribute_encoder);
    Py_VISIT(self->scope);
    Py_VISIT(self->attributes);
    return 0;
}

static int writer_clear(Writer *self)
{
    Py_CLEAR(self->encoder);
    Py_CLEAR(self->attribute_encoder);
    Py_CLEAR(self->scope);
    Py_CLEAR(self->attributes);
    return 0;
}

static void writer_dealloc(Writer *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    writer_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot writer_slots[] = {
    {Py_tp_new, writer_new},
    {Py_tp_dealloc, writer_dealloc},
    {Py_tp_traverse, writer_traverse},
    {Py_tp_clear, writer_clear},
    {Py_tp_methods, writer_methods},
    {Py_tp_doc, "Writer(encoder, attribute_encoder, attributes): encodes spans as `encoder` does."},
    {0, NULL},
};

static PyType_Spec writer_spec = {
    .name = "lean_tracing.native._compiled.Writer",
    .basicsize = sizeof(Writer),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = writer_slots,
};

int writer_add(PyObject *module)
{
    static const struct name names[] = {
        {&str_encode_shared, "encode_shared"},
        {&str_name, "_name"},
        {&str_event, "_event"},
        {&str_link, "_link"},
        {&str_status, "_status"},
        {&str_state, "_state"},
        {&str_in_python, "in_python"},
        {&str_attributes, "_attributes"},
        {&str_context, "_context"},
        {NULL, NULL},
    };
    if (intern(names) < 0)
        return -1;
    PyObject *writer = PyType_FromSpec(&writer_spec);
    int failed = writer == NULL || PyModule_AddObjectRef(module, "Writer", writer) < 0;
    Py_XDECREF(writer);
    return failed ? -1 : 0;
}
