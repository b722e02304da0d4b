/* Starts spans; `Starter` is the twin of TraceManager.start, span and LeanTracer.start_span (spans.py, tracer.py). */
#include "native.h"
#include <stddef.h>
#include <structmember.h>

enum { SAMPLED = 1, RANDOM_TRACE_ID = 2, TIMED_MASK = 63 };

static PyObject *str_kind, *str_attributes, *str_context, *str_links, *str_link_attributes, *str_link_context,
    *str_set_attributes, *empty, *zero, *one, *bits_of_trace, *bits_of_span;

/* A slot of SpanCounts. */
static PyObject **count_of(PyObject *counts, Py_ssize_t offset)
{
    return (PyObject **)((char *)counts + offset);
}

/* Adds to a number in a slot; -1 with an exception. */
static int add_to(PyObject **count, long long amount)
{
    long long old = *count == NULL ? 0 : PyLong_AsLongLong(*count);
    PyObject *sum = old == -1 && PyErr_Occurred() ? NULL : PyLong_FromLongLong(old + amount);
    if (sum == NULL)
        return -1;
    Py_XSETREF(*count, sum);
    return 0;
}

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *twin;    /* TraceManager.start as Python has it */
    PyObject *fail;    /* TraceManager.fail; None returns the span instead of a Scope */
    PyObject *scope;   /* the InstrumentationScope */
    PyObject *limits;  /* Limits */
    PyObject *counts;  /* SpanCounts */
    PyObject *on_end;
    PyObject *room;    /* Limits.attributes */
    Py_ssize_t longest; /* Limits.value_length */
    Py_ssize_t most;    /* Limits.attributes */
    Py_ssize_t links;   /* Limits.links */
    int follows_parents, records_all; /* of the sampler */
} Starter;

struct arguments {
    PyObject *name, *kind, *attributes, *context, *links;
};

/* 1 if the arguments are those of the common form. */
static int parse(PyObject *const *args, size_t flags, PyObject *names, struct arguments *given)
{
    if (PyVectorcall_NARGS(flags) != 1)
        return 0;
    *given = (struct arguments){args[0], library.internal, Py_None, Py_None, empty};
    for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i), *value = args[1 + i];
        /* Names of arguments in source code are interned. */
        if (name == str_kind)
            given->kind = value;
        else if (name == str_attributes)
            given->attributes = value;
        else if (name == str_context)
            given->context = value;
        else if (name == str_links)
            given->links = value;
        else
            return 0;
    }
    return 1;
}

/* No link, or one without attributes that leads to a span, as a consumer has one. */
static int keeps_links(Starter *self, PyObject *links)
{
    if (!PyTuple_CheckExact(links))
        return 0;
    if (PyTuple_GET_SIZE(links) == 0)
        return 1;
    PyObject *link = PyTuple_GET_ITEM(links, 0);
    if (PyTuple_GET_SIZE(links) > 1 || self->links < 1 || Py_TYPE(link) != library.link)
        return 0;
    PyObject *attributes = PyObject_GetAttr(link, str_link_attributes);
    PyObject *context = PyObject_GetAttr(link, str_link_context);
    int keeps = attributes == Py_None && is_span_context(context) && Py_TYPE(context) == library.span_context
             && PyTuple_GET_ITEM(context, 5) == Py_True;
    Py_XDECREF(attributes);
    Py_XDECREF(context);
    PyErr_Clear();
    return keeps;
}

/* A new id that is not 0. */
static PyObject *new_id(PyObject *bits)
{
    PyObject *id = PyObject_CallOneArg(library.random_bits, bits);
    int is_zero = id == NULL ? 0 : PyObject_Not(id);
    if (is_zero) {
        Py_CLEAR(id);
        return is_zero > 0 ? Py_NewRef(one) : NULL;
    }
    return id;
}

/* A sampled SpanContext; takes over the reference to the trace id. */
static PyObject *new_context(PyObject *trace_id, PyObject *state, int bits)
{
    PyObject *span_id = trace_id == NULL ? NULL : new_id(bits_of_span);
    PyObject *context = span_id == NULL ? NULL : library.span_context->tp_alloc(library.span_context, 6);
    if (context == NULL) {
        Py_XDECREF(trace_id);
        Py_XDECREF(span_id);
        return NULL;
    }
    PyTuple_SET_ITEM(context, 0, trace_id);
    PyTuple_SET_ITEM(context, 1, span_id);
    PyTuple_SET_ITEM(context, 2, Py_NewRef(Py_False));
    PyTuple_SET_ITEM(context, 3, Py_NewRef(PyTuple_GET_ITEM(library.flags, bits | SAMPLED)));
    PyTuple_SET_ITEM(context, 4, Py_NewRef(state));
    PyTuple_SET_ITEM(context, 5, Py_NewRef(Py_True));
    return context;
}

/* The twin of RecordedSpan.__init__; takes over the reference to the context. */
static PyObject *new_span(Starter *self, const struct arguments *given, PyObject *context, PyObject *parent,
                          PyObject *clock)
{
    PyObject *span = library.native_span->tp_alloc(library.native_span, 0);
    if (span == NULL) {
        Py_DECREF(context);
        return NULL;
    }
    *slot_of(span, NAME) = Py_NewRef(given->name);
    *slot_of(span, CONTEXT) = context;
    *slot_of(span, PARENT) = Py_NewRef(parent == NULL ? Py_None : parent);
    *slot_of(span, KIND) = Py_NewRef(given->kind);
    *slot_of(span, LINKS) = Py_NewRef(given->links);
    *slot_of(span, DROPPED_LINKS) = Py_NewRef(zero);
    *slot_of(span, EVENTS) = Py_NewRef(empty);
    *slot_of(span, STATUS) = Py_NewRef(library.unset);
    *slot_of(span, SCOPE) = Py_NewRef(self->scope);
    *slot_of(span, DROPPED_ATTRIBUTES) = Py_NewRef(zero);
    *slot_of(span, DROPPED_EVENTS) = Py_NewRef(zero);
    *slot_of(span, END_TIME) = Py_NewRef(Py_None);
    *slot_of(span, LIMITS) = Py_NewRef(self->limits);
    *slot_of(span, ON_END) = Py_NewRef(self->on_end);
    *slot_of(span, SHARED_ATTRIBUTES) = Py_NewRef(Py_None);
    *slot_of(span, ROOM) = Py_NewRef(self->room);

    PyObject *attributes = given->attributes;
    PyObject *longest = Py_TYPE(attributes) != library.shared_attributes
                          ? NULL
                          : *(PyObject **)((char *)attributes + library.longest);
    if (longest != NULL && PyLong_CheckExact(longest) && PyDict_GET_SIZE(attributes) <= self->most
        && PyLong_AsLongLong(longest) <= self->longest) {
        set_slot(span, SHARED_ATTRIBUTES, Py_NewRef(attributes));
        set_slot(span, ROOM, PyLong_FromSsize_t(self->most - PyDict_GET_SIZE(attributes)));
        attributes = Py_None;
    }
    if ((*slot_of(span, OWN_ATTRIBUTES) = PyDict_New()) == NULL || *slot_of(span, ROOM) == NULL)
        goto failed;
    if (attributes != Py_None) {
        int done = set_at_once(span, attributes, self->longest);
        if (done < 0)
            goto failed;
        if (!done) {
            PyObject *result = PyObject_CallMethodOneArg(span, str_set_attributes, attributes);
            if (result == NULL)
                goto failed;
            Py_DECREF(result);
        }
    }

    long long shift = 0, wall;
    if (clock != NULL && PyLong_CheckExact(clock)) {
        shift = PyLong_AsLongLong(clock);
        if (shift == -1 && PyErr_Occurred())
            goto failed;
        wall = shift + monotonic_clock();
        *slot_of(span, CLOCK) = Py_NewRef(clock);
    } else {
        wall = wall_clock();
        *slot_of(span, CLOCK) = PyLong_FromLongLong(wall - monotonic_clock());
    }
    *slot_of(span, START_TIME) = PyLong_FromLongLong(wall);
    if (*slot_of(span, CLOCK) == NULL || *slot_of(span, START_TIME) == NULL)
        goto failed;
    return span;

failed:
    Py_DECREF(span);
    return NULL;
}

/* The span in a context, a new reference; NULL with `*known` 1 if there is none, or 0 if only the twin knows. */
static PyObject *span_in(PyObject *context, int *known)
{
    PyObject *span = PyDict_GetItemWithError(context, library.span_key);
    *known = 1;
    if (span == NULL) {
        *known = !PyErr_Occurred();
        PyErr_Clear();
        return NULL;
    }
    *known = is_span(span) || Py_TYPE(span) == library.non_recording;
    return *known ? Py_NewRef(span) : NULL;
}

/* 1 with `*made` if the span is started, 0 if only the twin can do it, -1 with an exception. */
static int start(Starter *self, const struct arguments *given, PyObject **made)
{
    PyObject *current = NULL, *above = NULL, *parent = NULL, *context = NULL;
    int done = 0, known, has_parent = 0, bits = RANDOM_TRACE_ID;
    if (!keeps_links(self, given->links) || PyContextVar_Get(library.variable, NULL, &current) < 0)
        return PyErr_Occurred() ? -1 : 0;
    PyObject *around = given->context == Py_None ? current : given->context;
    if (current == NULL || Py_TYPE(current) != library.context || Py_TYPE(around) != library.context)
        goto end;
    int is_suppressed = PyDict_Contains(current, library.suppressed_key);
    if (is_suppressed) {
        done = is_suppressed < 0 ? -1 : 0;
        goto end;
    }
    above = span_in(around, &known);
    if (!known)
        goto end;
    if (above != NULL) {
        parent = span_context_of(above);
        if (parent == NULL)
            done = PyErr_Occurred() ? -1 : 0;
        if (!is_span_context(parent))
            goto end;
        has_parent = PyTuple_GET_ITEM(parent, 5) == Py_True;
    }
    if (has_parent) {
        PyObject *flags = PyTuple_GET_ITEM(parent, 3);
        long parent_bits = PyLong_Check(flags) ? (long)PyLong_AsUnsignedLongMask(flags) : 0;
        bits = (int)(parent_bits & RANDOM_TRACE_ID);
        if (self->follows_parents ? !(parent_bits & SAMPLED) : !self->records_all)
            goto end; /* the twin makes spans that are not recorded, and asks the sampler */
    } else if (!self->records_all) {
        goto end;
    }

    done = -1;
    PyObject **started = count_of(self->counts, library.started);
    int is_timed = *started == NULL || !(PyLong_AsUnsignedLongMask(*started) & TIMED_MASK);
    int64_t began = is_timed ? monotonic_clock() : 0;
    context = has_parent ? new_context(Py_NewRef(PyTuple_GET_ITEM(parent, 0)), PyTuple_GET_ITEM(parent, 4), bits)
                         : new_context(new_id(bits_of_trace), library.no_state, bits);
    if (context == NULL || add_to(started, 1) < 0) {
        Py_XDECREF(context);
        goto end;
    }
    /* Not the clock of a parent that has ended: work in the background may outlive it by days. */
    PyObject *clock = NULL;
    if (above != NULL && is_span(above) && *slot_of(above, END_TIME) == Py_None)
        clock = Py_XNewRef(*slot_of(above, CLOCK));
    *made = new_span(self, given, context, has_parent ? parent : NULL, clock);
    Py_XDECREF(clock);
    if (*made == NULL)
        goto end;
    if (is_timed
        && (add_to(count_of(self->counts, library.timed), 1) < 0
            || add_to(count_of(self->counts, library.timed_ns), monotonic_clock() - began) < 0)) {
        Py_CLEAR(*made);
        goto end;
    }
    done = 1;
end:
    Py_XDECREF(current);
    Py_XDECREF(above);
    Py_XDECREF(parent);
    return done;
}

static PyObject *starter_call(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Starter *self = (Starter *)object;
    struct arguments given = {NULL, NULL, NULL, NULL, NULL};
    PyObject *span = NULL;
    int done = parse(args, flags, names, &given) ? start(self, &given, &span) : 0;
    if (done == 0)
        span = PyObject_Vectorcall(self->twin, args, flags, names);
    if (span == NULL || self->fail == Py_None)
        return span;
    PyObject *scope = scope_of(self->fail, span, given.context);
    Py_DECREF(span);
    return scope;
}

static PyObject *starter_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named))
{
    PyObject *twin, *fail, *scope, *limits, *counts, *on_end, *room;
    Py_ssize_t longest, links;
    int follows_parents, records_all;
    if (library.span_counts == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the native part is not configured");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "OOOO!O!OO!nnpp:Starter", &twin, &fail, &scope, &PyTuple_Type, &limits,
                          library.span_counts, &counts, &on_end, &PyLong_Type, &room, &longest, &links,
                          &follows_parents, &records_all))
        return NULL;
    Py_ssize_t most = PyLong_AsSsize_t(room);
    if (most == -1 && PyErr_Occurred())
        return NULL;
    Starter *self = (Starter *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->call = starter_call;
    self->twin = Py_NewRef(twin);
    self->fail = Py_NewRef(fail);
    self->scope = Py_NewRef(scope);
    self->limits = Py_NewRef(limits);
    self->counts = Py_NewRef(counts);
    self->on_end = Py_NewRef(on_end);
    self->room = Py_NewRef(room);
    self->longest = longest;
    self->most = most;
    self->links = links;
    self->follows_parents = follows_parents;
    self->records_all = records_all;
    return (PyObject *)self;
}

static int starter_traverse(Starter *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->twin);
    Py_VISIT(self->fail);
    Py_VISIT(self->scope);
    Py_VISIT(self->limits);
    Py_VISIT(self->counts);
    Py_VISIT(self->on_end);
    Py_VISIT(self->room);
    return 0;
}

static int starter_clear(Starter *self)
{
    Py_CLEAR(self->twin);
    Py_CLEAR(self->fail);
    Py_CLEAR(self->scope);
    Py_CLEAR(self->limits);
    Py_CLEAR(self->counts);
    Py_CLEAR(self->on_end);
    Py_CLEAR(self->room);
    return 0;
}

static void starter_dealloc(Starter *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    starter_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef starter_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Starter, call), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot starter_slots[] = {
    {Py_tp_new, starter_new},
    {Py_tp_dealloc, starter_dealloc},
    {Py_tp_traverse, starter_traverse},
    {Py_tp_clear, starter_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, starter_members},
    {Py_tp_doc, "Starter(twin, fail, scope, limits, counts, on_end, ...): starts spans as TraceManager.start does."},
    {0, NULL},
};

static PyType_Spec starter_spec = {
    .name = "lean_tracing.native._compiled.Starter",
    .basicsize = sizeof(Starter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = starter_slots,
};

int start_add(PyObject *module)
{
    static const struct name names[] = {
        {&str_kind, "kind"},
        {&str_attributes, "attributes"},
        {&str_context, "context"},
        {&str_links, "links"},
        /* Not the properties of a link, which are calls of Python. */
        {&str_link_attributes, "_attributes"},
        {&str_link_context, "_context"},
        {&str_set_attributes, "set_attributes"},
        {NULL, NULL},
    };
    if (intern(names) < 0)
        return -1;
    empty = PyTuple_New(0);
    zero = PyLong_FromLong(0);
    one = PyLong_FromLong(1);
    bits_of_trace = PyLong_FromLong(128);
    bits_of_span = PyLong_FromLong(64);
    if (!empty || !zero || !one || !bits_of_trace || !bits_of_span)
        return -1;
    PyObject *starter = PyType_FromSpec(&starter_spec);
    int failed = starter == NULL || PyModule_AddObjectRef(module, "Starter", starter) < 0;
    Py_XDECREF(starter);
    return failed ? -1 : 0;
}
