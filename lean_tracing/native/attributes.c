/* Encodes attributes; the twin is AttributeEncoder (encoding.py).
 *
 * This keeps no values: what the first look proves to be harmless is written faster than it is found in a cache. All
 * else goes to the twin, which has a cache of values that hold nothing to hide.
 */
#include "attributes.h"

enum { MAX_KEYS = 4096 };
/* What the first byte of a described key says, see AttributeEncoder.describe. */
enum { DROPPED = 1, PLAIN = 2, NUMBERS = 4 };
/* Numbers from here on may be those of cards. */
static const long long MIN_CARD = 1000000000000LL;

static PyObject *str_one, *str_recent, *str_known, *str_describe, *str_in_python;

/* The encoded key, borrowed; NULL if only the twin can encode it, or with an exception. */
static PyObject *describe(Attributes *self, struct buffer *out, PyObject *key)
{
    PyObject *described = PyDict_GetItemWithError(self->keys, key);
    if (described != NULL || out->is_alone || PyErr_Occurred())
        return described;
    described = PyObject_CallMethodOneArg(self->encoder, str_describe, key);
    if (described == NULL)
        return NULL;
    if (!PyBytes_CheckExact(described) || PyBytes_GET_SIZE(described) < 1) { /* None */
        Py_DECREF(described);
        return NULL;
    }
    if (PyDict_GET_SIZE(self->keys) >= MAX_KEYS)
        PyDict_Clear(self->keys);
    int failed = PyDict_SetItem(self->keys, key, described);
    Py_DECREF(described); /* the dictionary has it */
    return failed ? NULL : described;
}

/* The bytes before a value: everything up to the tag of the value's type, which is the first of `size` bytes. */
static void put_head(Attributes *self, struct buffer *out, PyObject *described, Py_ssize_t size)
{
    Py_ssize_t key = PyBytes_GET_SIZE(described) - 1;
    put_byte(out, self->tag);
    put_varint(out, (uint64_t)(key + 1 + varint_size((uint64_t)size) + size));
    put(out, PyBytes_AS_STRING(described) + 1, key);
    put_byte(out, 0x12);
    put_varint(out, (uint64_t)size);
}

/* 1 if the value is one of the common ones, and written; else 0. */
static int put_common(Attributes *self, struct buffer *out, PyObject *described, PyObject *value)
{
    unsigned char meaning = (unsigned char)PyBytes_AS_STRING(described)[0];
    if (meaning & DROPPED)
        return 1;
    if (PyUnicode_CheckExact(value)) {
        if (!(meaning & PLAIN) || !is_harmless(value))
            return 0;
        Py_ssize_t length = PyUnicode_GET_LENGTH(value);
        if (length > self->longest)
            return 0;
        put_head(self, out, described, 1 + varint_size((uint64_t)length) + length);
        put_sized(out, 0x0a, PyUnicode_1BYTE_DATA(value), length); /* string_value */
        return 1;
    }
    if (PyBool_Check(value)) {
        put_head(self, out, described, 2);
        put(out, value == Py_True ? "\x10\x01" : "\x10\x00", 2); /* bool_value */
        return 1;
    }
    if (!(meaning & NUMBERS))
        return 0;
    if (PyLong_CheckExact(value)) {
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (overflow || number <= -MIN_CARD || number >= MIN_CARD)
            return 0;
        put_head(self, out, described, 1 + varint_size((uint64_t)number));
        put_byte(out, 0x18); /* int_value */
        put_varint(out, (uint64_t)number);
        return 1;
    }
    if (PyFloat_CheckExact(value)) {
        double number = PyFloat_AS_DOUBLE(value);
        uint64_t bits;
        if (!(number > -(double)MIN_CARD && number < (double)MIN_CARD))
            return 0;
        memcpy(&bits, &number, sizeof bits);
        put_head(self, out, described, 9);
        unsigned char *place = room(out, 9);
        if (place != NULL) {
            place[0] = 0x21; /* double_value */
            store(place + 1, bits, 8);
        }
        return 1;
    }
    return 0;
}

/* What the cache of the encoder has, else what the encoder makes; a new reference. NULL with an exception, or without
 * one if no twin is called. */
static PyObject *ask_twin(Attributes *self, struct buffer *out, PyObject *key, PyObject *value)
{
    if (PyUnicode_CheckExact(key) && PyUnicode_CheckExact(value)) {
        PyObject *known = PyObject_GetAttr(self->encoder, str_known);
        PyObject *recent = known ? PyObject_GetAttr(known, str_recent) : NULL;
        PyObject *pair = recent ? PyTuple_Pack(2, key, value) : NULL;
        PyObject *found = NULL;
        if (pair != NULL && PyDict_CheckExact(recent))
            found = Py_XNewRef(PyDict_GetItemWithError(recent, pair));
        Py_XDECREF(pair);
        Py_XDECREF(recent);
        Py_XDECREF(known);
        if (found != NULL || PyErr_Occurred())
            return found;
    }
    return out->is_alone ? NULL : PyObject_CallMethodObjArgs(self->encoder, str_one, key, value, NULL);
}

int put_attributes(Attributes *self, struct buffer *out, PyObject *attributes)
{
    PyObject *key, *value;
    Py_ssize_t position = 0, count = PyDict_GET_SIZE(attributes);
    while (PyDict_Next(attributes, &position, &key, &value)) {
        int failed = 0;
        Py_INCREF(key);
        Py_INCREF(value);
        PyObject *described = PyUnicode_CheckExact(key) ? describe(self, out, key) : NULL;
        if (PyErr_Occurred() || ((described == NULL || !put_common(self, out, described, value))
                                 && put_returned(out, ask_twin(self, out, key, value)) < 0))
            failed = 1;
        Py_DECREF(key);
        Py_DECREF(value);
        if (failed)
            return -1;
        if (PyDict_GET_SIZE(attributes) != count) {
            PyErr_SetString(PyExc_RuntimeError, "dictionary changed size during iteration");
            return -1;
        }
    }
    return 0;
}

static PyObject *attributes_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named))
{
    PyObject *encoder, *tag, *longest;
    if (!PyArg_ParseTuple(args, "OSO:Attributes", &encoder, &tag, &longest))
        return NULL;
    if (PyBytes_GET_SIZE(tag) != 1) {
        PyErr_SetString(PyExc_ValueError, "the tag has one byte");
        return NULL;
    }
    long long limit = OVERLAP;
    if (longest != Py_None) {
        int overflow;
        limit = PyLong_AsLongLongAndOverflow(longest, &overflow);
        if (limit == -1 && PyErr_Occurred())
            return NULL;
        if (overflow > 0 || limit > OVERLAP)
            limit = OVERLAP;
    }
    Attributes *self = (Attributes *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->encoder = Py_NewRef(encoder);
    self->longest = limit;
    self->tag = (unsigned char)PyBytes_AS_STRING(tag)[0];
    self->keys = PyDict_New();
    if (self->keys == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int attributes_traverse(Attributes *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->encoder);
    Py_VISIT(self->keys);
    return 0;
}

static int attributes_clear(Attributes *self)
{
    Py_CLEAR(self->encoder);
    Py_CLEAR(self->keys);
    return 0;
}

static void attributes_dealloc(Attributes *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    attributes_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Attributes of a dictionary; of any other mapping, what the encoder makes. */
static PyObject *attributes_encode(Attributes *self, PyObject *attributes)
{
    if (!PyDict_CheckExact(attributes) && Py_TYPE(attributes) != library.shared_attributes)
        return PyObject_CallMethodOneArg(self->encoder, str_in_python, attributes);
    struct buffer out;
    begin(&out, 0);
    PyObject *result = put_attributes(self, &out, attributes) < 0 ? NULL : bytes_of(&out);
    release(&out);
    return result;
}

static PyMethodDef attributes_methods[] = {
    {"encode", (PyCFunction)attributes_encode, METH_O, "All attributes, each with its tag."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot attributes_slots[] = {
    {Py_tp_new, attributes_new},
    {Py_tp_dealloc, attributes_dealloc},
    {Py_tp_traverse, attributes_traverse},
    {Py_tp_clear, attributes_clear},
    {Py_tp_methods, attributes_methods},
    {Py_tp_doc, "Attributes(encoder, tag, longest): encodes attributes as `encoder` does."},
    {0, NULL},
};

static PyType_Spec attributes_spec = {
    .name = "lean_tracing.native._compiled.Attributes",
    .basicsize = sizeof(Attributes),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = attributes_slots,
};

PyTypeObject *attributes_type;

int attributes_add(PyObject *module)
{
    static const struct name names[] = {
        {&str_one, "_one"},           {&str_recent, "recent"},       {&str_known, "_known"},
        {&str_describe, "describe"},  {&str_in_python, "in_python"}, {NULL, NULL},
    };
    if (intern(names) < 0)
        return -1;
    attributes_type = (PyTypeObject *)PyType_FromSpec(&attributes_spec);
    return attributes_type == NULL ? -1 : PyModule_AddObjectRef(module, "Attributes", (PyObject *)attributes_type);
}
