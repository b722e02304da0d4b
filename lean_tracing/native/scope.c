/* The block in which a span is current, and with which it ends; the twin of SpanScope (spans.py). */
#include "native.h"

static PyObject *str_end;

typedef struct {
    PyObject_HEAD
    PyObject *fail;    /* TraceManager.fail */
    PyObject *span;
    PyObject *context; /* NULL takes the current one */
    PyObject *token;   /* of the context variable; NULL outside of the block */
} Scope;

static PyTypeObject *scope_type;

PyObject *scope_of(PyObject *fail, PyObject *span, PyObject *context)
{
    Scope *self = (Scope *)scope_type->tp_alloc(scope_type, 0);
    if (self == NULL)
        return NULL;
    self->fail = Py_NewRef(fail);
    self->span = Py_NewRef(span);
    self->context = context == NULL || context == Py_None ? NULL : Py_NewRef(context);
    return (PyObject *)self;
}

static PyObject *scope_new(PyTypeObject *Py_UNUSED(type), PyObject *args, PyObject *Py_UNUSED(named))
{
    PyObject *fail, *span, *context = NULL;
    if (!PyArg_ParseTuple(args, "OO|O:Scope", &fail, &span, &context))
        return NULL;
    return scope_of(fail, span, context);
}

/* The twin of current.with_span. */
static PyObject *with_span(PyObject *span, PyObject *context)
{
    PyObject *made = PyObject_CallNoArgs((PyObject *)library.context);
    if (made != NULL
        && (!PyDict_Check(made) || PyDict_Update(made, context) < 0 || PyDict_SetItem(made, library.span_key, span) < 0))
        Py_CLEAR(made);
    return made;
}

static PyObject *scope_enter(Scope *self, PyObject *Py_UNUSED(none))
{
    PyObject *base = Py_XNewRef(self->context);
    if (base == NULL && PyContextVar_Get(library.variable, NULL, &base) < 0)
        return NULL;
    PyObject *inner = base == NULL ? NULL : with_span(self->span, base);
    Py_XDECREF(base);
    if (inner == NULL)
        return NULL;
    PyObject *token = PyContextVar_Set(library.variable, inner);
    Py_DECREF(inner);
    if (token == NULL)
        return NULL;
    Py_XSETREF(self->token, token);
    return Py_NewRef(self->span);
}

static PyObject *scope_exit(Scope *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "__exit__ takes three arguments");
        return NULL;
    }
    PyObject *token = self->token, *result;
    self->token = NULL;
    if (token != NULL) {
        if (PyContextVar_Reset(library.variable, token) < 0) {
            PyErr_Clear();
            result = PyObject_CallOneArg(library.detach, token);
            if (result == NULL) {
                Py_DECREF(token);
                return NULL;
            }
            Py_DECREF(result);
        }
        Py_DECREF(token);
    }
    if (args[1] != Py_None) {
        result = PyObject_CallFunctionObjArgs(self->fail, self->span, args[1], NULL);
        if (result == NULL)
            return NULL;
        Py_DECREF(result);
    }
    if (Py_TYPE(self->span) == library.native_span)
        return span_end(self->span, NULL, 0, NULL);
    result = PyObject_CallMethodNoArgs(self->span, str_end);
    if (result == NULL)
        return NULL;
    Py_DECREF(result);
    Py_RETURN_NONE;
}

static PyObject *scope_aenter(PyObject *self, PyObject *Py_UNUSED(none))
{
    return PyObject_CallOneArg(library.enter, self);
}

static PyObject *scope_aexit(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "__aexit__ takes three arguments");
        return NULL;
    }
    return PyObject_CallFunctionObjArgs(library.leave, self, args[0], args[1], args[2], NULL);
}

static int scope_traverse(Scope *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->fail);
    Py_VISIT(self->span);
    Py_VISIT(self->context);
    Py_VISIT(self->token);
    return 0;
}

static int scope_clear(Scope *self)
{
    Py_CLEAR(self->fail);
    Py_CLEAR(self->span);
    Py_CLEAR(self->context);
    Py_CLEAR(self->token);
    return 0;
}

static void scope_dealloc(Scope *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    scope_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef scope_methods[] = {
    {"__enter__", (PyCFunction)scope_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))scope_exit, METH_FASTCALL, NULL},
    {"__aenter__", scope_aenter, METH_NOARGS, NULL},
    {"__aexit__", (PyCFunction)(void (*)(void))scope_aexit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot scope_slots[] = {
    {Py_tp_new, scope_new},
    {Py_tp_dealloc, scope_dealloc},
    {Py_tp_traverse, scope_traverse},
    {Py_tp_clear, scope_clear},
    {Py_tp_methods, scope_methods},
    {Py_tp_doc, "Scope(fail, span, context=None): the block in which a span is current, and with which it ends."},
    {0, NULL},
};

static PyType_Spec scope_spec = {
    .name = "lean_tracing.native._compiled.Scope",
    .basicsize = sizeof(Scope),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = scope_slots,
};

int scope_add(PyObject *module)
{
    static const struct name names[] = {{&str_end, "end"}, {NULL, NULL}};
    if (intern(names) < 0)
        return -1;
    scope_type = (PyTypeObject *)PyType_FromSpec(&scope_spec);
    return scope_type == NULL ? -1 : PyModule_AddObjectRef(module, "Scope", (PyObject *)scope_type);
}
