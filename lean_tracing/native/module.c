/* The module: takes over the classes and constants of the library, and offers the native types. */
#include "native.h"
#include <stddef.h>
#include <structmember.h>

struct library library;

/* The offset of a slot that Python made; -1 with an exception. */
static Py_ssize_t offset_of(PyTypeObject *type, const char *name)
{
    Py_ssize_t offset = -1;
    PyObject *descriptor = PyObject_GetAttrString((PyObject *)type, name);
    if (descriptor == NULL)
        return -1;
    if (Py_TYPE(descriptor) == &PyMemberDescr_Type
        && ((PyMemberDescrObject *)descriptor)->d_member->type == T_OBJECT_EX)
        offset = ((PyMemberDescrObject *)descriptor)->d_member->offset;
    else
        PyErr_Format(PyExc_TypeError, "%s.%s is no slot", type->tp_name, name);
    Py_DECREF(descriptor);
    return offset;
}

static PyObject *configure(PyObject *Py_UNUSED(module), PyObject *args)
{
    static const char *const slots[SLOTS] = {
        [NAME] = "name", [CONTEXT] = "context", [PARENT] = "parent", [KIND] = "kind", [LINKS] = "links",
        [DROPPED_LINKS] = "dropped_links", [EVENTS] = "events", [STATUS] = "status",
        [SCOPE] = "instrumentation_scope", [DROPPED_ATTRIBUTES] = "dropped_attributes",
        [DROPPED_EVENTS] = "dropped_events", [END_TIME] = "end_time", [LIMITS] = "limits", [ON_END] = "_on_end",
        [OWN_ATTRIBUTES] = "own_attributes", [SHARED_ATTRIBUTES] = "shared_attributes", [ROOM] = "_room",
        [CLOCK] = "_clock", [START_TIME] = "start_time",
    };
    struct library new = {0};
    PyObject *prefixes;
    if (library.recorded_span != NULL) {
        /* By another import of the library, such as that of a test that removed it from sys.modules. */
        PyErr_SetString(PyExc_ImportError, "the native part is in use already");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!O!O!O!O!O!O!O!OOOOOOOO!O!OOOOS:configure", &PyType_Type, &new.recorded_span,
                          &PyType_Type, &new.native_span, &PyType_Type, &new.non_recording, &PyType_Type,
                          &new.span_context, &PyType_Type, &new.link, &PyType_Type, &new.context, &PyType_Type,
                          &new.shared_attributes, &PyType_Type, &new.span_counts, &new.variable, &new.span_key,
                          &new.correlation_key, &new.suppressed_key, &new.no_state, &new.unset, &new.internal,
                          &PyTuple_Type, &new.kinds, &PyTuple_Type, &new.flags, &new.random_bits, &new.detach,
                          &new.enter, &new.leave, &prefixes))
        return NULL;
    if (!PyContextVar_CheckExact(new.variable) || PyTuple_GET_SIZE(new.flags) != 256
        || !PyType_IsSubtype(new.span_context, &PyTuple_Type) || !PyType_IsSubtype(new.native_span, new.recorded_span)
        || !PyType_IsSubtype(new.context, &PyDict_Type) || !PyType_IsSubtype(new.shared_attributes, &PyDict_Type)
        || new.native_span->tp_basicsize != new.recorded_span->tp_basicsize) {
        PyErr_SetString(PyExc_TypeError, "the library has other classes than the native part expects");
        return NULL;
    }
    for (int slot = 0; slot < SLOTS; slot++)
        if ((new.slots[slot] = offset_of(new.recorded_span, slots[slot])) < 0)
            return NULL;
    if ((new.longest = offset_of(new.shared_attributes, "_longest")) < 0
        || (new.encoded = offset_of(new.shared_attributes, "encoded")) < 0
        || (new.started = offset_of(new.span_counts, "started")) < 0
        || (new.timed = offset_of(new.span_counts, "timed")) < 0
        || (new.timed_ns = offset_of(new.span_counts, "timed_ns")) < 0)
        return NULL;
    if (look_configure(prefixes) < 0 || headers_configure() < 0 || span_add_methods(new.native_span) < 0)
        return NULL;
    PyObject *kept[] = {
        (PyObject *)new.recorded_span, (PyObject *)new.native_span, (PyObject *)new.non_recording,
        (PyObject *)new.span_context, (PyObject *)new.link, (PyObject *)new.context, (PyObject *)new.shared_attributes,
        (PyObject *)new.span_counts, new.variable, new.span_key, new.correlation_key, new.suppressed_key, new.no_state,
        new.unset, new.internal, new.kinds, new.flags, new.random_bits, new.detach, new.enter, new.leave,
    };
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        Py_INCREF(kept[i]);
    library = new;
    Py_RETURN_NONE;
}

static PyObject *look(PyObject *Py_UNUSED(module), PyObject *text)
{
    return PyBool_FromLong(PyUnicode_CheckExact(text) && is_harmless(text));
}

static PyObject *from_http(PyObject *Py_UNUSED(module), PyObject *headers)
{
    return parent_in(headers, 1);
}

static PyObject *from_kafka(PyObject *Py_UNUSED(module), PyObject *headers)
{
    return parent_in(headers, 0);
}

static PyObject *read_producer(PyObject *Py_UNUSED(module), PyObject *headers)
{
    return producer_in(headers);
}

static PyObject *intact(PyObject *Py_UNUSED(module), PyObject *headers)
{
    return PyBool_FromLong(PyList_Check(headers) && is_intact(headers));
}

static PyObject *write_traceparent(PyObject *Py_UNUSED(module), PyObject *context)
{
    return traceparent(context);
}

static PyObject *write_to_kafka(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "to_kafka takes three arguments");
        return NULL;
    }
    return to_kafka(args[0], args[1], args[2]);
}

static PyObject *write_answer(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "answer takes two arguments");
        return NULL;
    }
    return answer(args[0], args[1]);
}

static PyMethodDef methods[] = {
    {"configure", configure, METH_VARARGS, "Takes over the classes and constants of the library, once."},
    {"is_harmless", look, METH_O, "Whether a text certainly holds nothing to hide."},
    {"from_http", from_http, METH_O, "The caller's context in raw ASGI headers; None if the twin has to read them."},
    {"from_kafka", from_kafka, METH_O, "The same in the headers of a message."},
    {"producer_in", read_producer, METH_O, "The same, and a link to the producer's span."},
    {"is_intact", intact, METH_O, "Whether the headers of a message, a list, can be read."},
    {"traceparent", write_traceparent, METH_O, "The value of the header; None if the twin has to write it."},
    {"to_kafka", (PyCFunction)(void (*)(void))write_to_kafka, METH_FASTCALL,
     "The headers of a message with a context added; None if the twin has to write them."},
    {"answer", (PyCFunction)(void (*)(void))write_answer, METH_FASTCALL,
     "The context of a request's work and the headers of its response; None if the twin has to make them."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lean_tracing.native._compiled",
    .m_doc = "The native part of lean_tracing.",
    .m_size = -1, /* one interpreter */
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__compiled(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL
        && (attributes_add(module) < 0 || writer_add(module) < 0 || scope_add(module) < 0 || start_add(module) < 0))
        Py_CLEAR(module);
    return module;
}
