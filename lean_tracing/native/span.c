/* The methods of NativeSpan; their twins are those of RecordedSpan (span.py). */
#include "native.h"

static PyObject *str_end, *str_context, *str_set_attribute, *str_set_attributes, *str_update_name;

/* The clocks of time.time_ns and time.perf_counter_ns. */
#if PY_VERSION_HEX >= 0x030D0000
int64_t wall_clock(void)
{
    PyTime_t now = 0;
    (void)PyTime_TimeRaw(&now);
    return now;
}

int64_t monotonic_clock(void)
{
    PyTime_t now = 0;
    (void)PyTime_PerfCounterRaw(&now);
    return now;
}
#else
int64_t wall_clock(void)
{
    return _PyTime_GetSystemClock();
}

int64_t monotonic_clock(void)
{
    return _PyTime_GetPerfCounter();
}
#endif

PyObject *span_context_of(PyObject *span)
{
    if (is_span(span))
        return Py_XNewRef(*slot_of(span, CONTEXT));
    /* Not its method, which is a call of Python. */
    return Py_TYPE(span) == library.non_recording ? PyObject_GetAttr(span, str_context) : NULL;
}

/* A slot takes over a reference. */
void set_slot(PyObject *span, enum slot slot, PyObject *value)
{
    PyObject **place = slot_of(span, slot), *old = *place;
    *place = value;
    Py_XDECREF(old);
}

/* --- attributes ----------------------------------------------------------------------------------------------------*/

/* Whether a value is kept as it is: a number, a boolean, or a text that is not too long. */
static int is_simple(PyObject *value, Py_ssize_t longest)
{
    if (PyUnicode_CheckExact(value))
        return PyUnicode_GET_LENGTH(value) <= longest;
    return PyLong_CheckExact(value) || PyBool_Check(value) || PyFloat_CheckExact(value);
}

/* The limit of the length of texts; -1 if there is none that can be read here. */
static Py_ssize_t longest_of(PyObject *span)
{
    PyObject *limits = *slot_of(span, LIMITS);
    if (limits == NULL || !PyTuple_Check(limits) || PyTuple_GET_SIZE(limits) < 3)
        return -1;
    PyObject *length = PyTuple_GET_ITEM(limits, 2); /* value_length */
    if (!PyLong_CheckExact(length))
        return -1;
    Py_ssize_t longest = PyLong_AsSsize_t(length);
    if (longest < 0)
        PyErr_Clear();
    return longest;
}

/* How many attributes of its own a span has room for; -1 if it takes none any more, or if that cannot be read here. */
static Py_ssize_t room_of(PyObject *span)
{
    PyObject *room = *slot_of(span, ROOM), *own = *slot_of(span, OWN_ATTRIBUTES);
    if (*slot_of(span, END_TIME) != Py_None || own == NULL || !PyDict_CheckExact(own) || room == NULL
        || !PyLong_CheckExact(room))
        return -1;
    Py_ssize_t most = PyLong_AsSsize_t(room);
    if (most < 0)
        PyErr_Clear();
    return most;
}

/* Whether a span shares an attribute with this key; -1 with an exception. */
static int shares(PyObject *span, PyObject *key)
{
    PyObject *shared = *slot_of(span, SHARED_ATTRIBUTES);
    if (shared == Py_None)
        return 0;
    if (shared == NULL || !PyDict_Check(shared))
        return 1;
    /* A shared key of another class than str is compared by its own code, which may change the span and the caller's
     * attributes. */
    Py_INCREF(shared);
    Py_INCREF(key);
    int found = PyDict_Contains(shared, key);
    Py_DECREF(key);
    Py_DECREF(shared);
    return found;
}

/* The twin of RecordedSpan._set_at_once: 1 if all are set, 0 if none is, -1 with an exception. */
int set_at_once(PyObject *span, PyObject *attributes, Py_ssize_t longest)
{
    Py_ssize_t most = room_of(span);
    if (!PyDict_CheckExact(attributes) || most < 0 || longest < 0
        || PyDict_GET_SIZE(*slot_of(span, OWN_ATTRIBUTES)) + PyDict_GET_SIZE(attributes) > most)
        return 0;
    PyObject *key, *value;
    for (Py_ssize_t position = 0; PyDict_Next(attributes, &position, &key, &value);) {
        /* Only texts as keys: comparing others may run code of their class. */
        if (!PyUnicode_CheckExact(key) || !is_simple(value, longest))
            return 0;
        int shared = shares(span, key);
        if (shared)
            return shared < 0 ? -1 : 0;
    }
    PyObject *own = *slot_of(span, OWN_ATTRIBUTES);
    if (PyDict_GET_SIZE(own)) {
        Py_INCREF(own);
        int failed = PyDict_Update(own, attributes) < 0;
        Py_DECREF(own);
        return failed ? -1 : 1;
    }
    PyObject *copied = PyDict_Copy(attributes);
    if (copied == NULL)
        return -1;
    set_slot(span, OWN_ATTRIBUTES, copied);
    return 1;
}

/* --- methods -------------------------------------------------------------------------------------------------------*/

/* The method of RecordedSpan, which does what is unusual. */
static PyObject *call_twin(PyObject *span, PyObject *name, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    enum { MOST = 8 };
    PyObject *stack[MOST], *result = NULL;
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    if (count + named >= MOST) {
        PyErr_SetString(PyExc_TypeError, "too many arguments");
        return NULL;
    }
    PyObject *method = PyObject_GetAttr((PyObject *)library.recorded_span, name);
    if (method != NULL) {
        stack[0] = span;
        for (Py_ssize_t i = 0; i < count + named; i++)
            stack[i + 1] = args[i];
        result = PyObject_Vectorcall(method, stack, (size_t)count + 1, names);
        Py_DECREF(method);
    }
    return result;
}

static PyObject *span_set_attribute(PyObject *span, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (count == 2 && names == NULL && PyUnicode_CheckExact(args[0]) && is_simple(args[1], longest_of(span))) {
        Py_ssize_t most = room_of(span);
        int shared = most < 0 ? 1 : shares(span, args[0]);
        if (shared < 0)
            return NULL;
        if (!shared) {
            PyObject *own = Py_NewRef(*slot_of(span, OWN_ATTRIBUTES));
            int fits = PyDict_GET_SIZE(own) < most ? 1 : PyDict_Contains(own, args[0]);
            if (fits > 0 && PyDict_SetItem(own, args[0], args[1]) < 0)
                fits = -1;
            Py_DECREF(own);
            if (fits < 0)
                return NULL;
            if (fits)
                Py_RETURN_NONE;
        }
    }
    return call_twin(span, str_set_attribute, args, count, names);
}

static PyObject *span_set_attributes(PyObject *span, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (count == 1 && names == NULL) {
        int done = set_at_once(span, args[0], longest_of(span));
        if (done < 0)
            return NULL;
        if (done)
            Py_RETURN_NONE;
    }
    return call_twin(span, str_set_attributes, args, count, names);
}

static PyObject *span_update_name(PyObject *span, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    if (count != 1 || names != NULL || *slot_of(span, END_TIME) != Py_None)
        return call_twin(span, str_update_name, args, count, names);
    set_slot(span, NAME, Py_NewRef(args[0]));
    Py_RETURN_NONE;
}

PyObject *span_end(PyObject *span, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *clock = *slot_of(span, CLOCK), *started = *slot_of(span, START_TIME), *on_end = *slot_of(span, ON_END);
    if (count || names != NULL || *slot_of(span, END_TIME) != Py_None || clock == NULL || started == NULL
        || on_end == NULL || !PyLong_CheckExact(clock) || !PyLong_CheckExact(started))
        return call_twin(span, str_end, args, count, names);
    long long shift = PyLong_AsLongLong(clock), start = PyLong_AsLongLong(started);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return call_twin(span, str_end, args, count, names);
    }
    long long now = shift + monotonic_clock();
    PyObject *ended = now > start ? PyLong_FromLongLong(now) : Py_NewRef(started);
    if (ended == NULL)
        return NULL;
    set_slot(span, END_TIME, ended);
    Py_INCREF(on_end);
    PyObject *result = PyObject_CallOneArg(on_end, span);
    Py_DECREF(on_end);
    if (result == NULL)
        return NULL;
    Py_DECREF(result);
    Py_RETURN_NONE;
}

static PyObject *span_is_recording(PyObject *span, PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(*slot_of(span, END_TIME) == Py_None);
}

static PyObject *span_get_span_context(PyObject *span, PyObject *Py_UNUSED(none))
{
    PyObject *context = *slot_of(span, CONTEXT);
    return Py_NewRef(context == NULL ? Py_None : context);
}

#define WITH_NAMES(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS

static PyMethodDef span_methods[] = {
    {"set_attribute", WITH_NAMES(span_set_attribute), NULL},
    {"set_attributes", WITH_NAMES(span_set_attributes), NULL},
    {"update_name", WITH_NAMES(span_update_name), NULL},
    {"end", WITH_NAMES(span_end), NULL},
    {"is_recording", span_is_recording, METH_NOARGS, NULL},
    {"get_span_context", span_get_span_context, METH_NOARGS, NULL},
};

int span_add_methods(PyTypeObject *native_span)
{
    static const struct name names[] = {
        {&str_end, "end"},
        {&str_context, "_context"},
        {&str_set_attribute, "set_attribute"},
        {&str_set_attributes, "set_attributes"},
        {&str_update_name, "update_name"},
        {NULL, NULL},
    };
    if (intern(names) < 0)
        return -1;
    for (size_t i = 0; i < sizeof span_methods / sizeof *span_methods; i++) {
        PyObject *method = PyDescr_NewMethod(native_span, &span_methods[i]);
        int failed =
            method == NULL || PyObject_SetAttrString((PyObject *)native_span, span_methods[i].ml_name, method) < 0;
        Py_XDECREF(method);
        if (failed)
            return -1;
    }
    return 0;
}
