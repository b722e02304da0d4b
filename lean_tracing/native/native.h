/* The native part of lean_tracing: what its files share. Each function has a twin in Python, named in its comment.
 *
 * A function here takes the common case and gives the rest to its twin, so that the result of each unusual value is
 * that of the twin. All code runs under the GIL, and the module is for one interpreter.
 */
#ifndef LEAN_TRACING_NATIVE_H
#define LEAN_TRACING_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

/* --- what the library passes at its import (module.c) --------------------------------------------------------------*/

/* The slots of a RecordedSpan. Python defines the class; its objects are read and written here. */
enum slot {
    NAME, CONTEXT, PARENT, KIND, LINKS, DROPPED_LINKS, EVENTS, STATUS, SCOPE, DROPPED_ATTRIBUTES, DROPPED_EVENTS,
    END_TIME, LIMITS, ON_END, OWN_ATTRIBUTES, SHARED_ATTRIBUTES, ROOM, CLOCK, START_TIME, SLOTS
};

struct library {
    PyTypeObject *recorded_span;     /* RecordedSpan */
    PyTypeObject *native_span;       /* NativeSpan, its subclass with the methods of start.c */
    PyTypeObject *non_recording;     /* OpenTelemetry's NonRecordingSpan */
    PyTypeObject *span_context;      /* OpenTelemetry's SpanContext */
    PyTypeObject *link;              /* OpenTelemetry's Link */
    PyTypeObject *context;           /* OpenTelemetry's Context */
    PyTypeObject *shared_attributes; /* SharedAttributes */
    PyTypeObject *span_counts;       /* SpanCounts */
    PyObject *variable;              /* the ContextVar of the current context */
    PyObject *span_key;              /* the key of the span in a context */
    PyObject *correlation_key;       /* the key of the correlation id in a context */
    PyObject *suppressed_key;        /* the key of a block without spans in a context */
    PyObject *no_state;              /* the TraceState of a new trace */
    PyObject *unset;                 /* the Status of a new span */
    PyObject *internal;              /* SpanKind.INTERNAL */
    PyObject *enter, *leave;         /* coroutine functions: a Scope as an asynchronous block */
    PyObject *kinds;                 /* the SpanKinds, in the order of OTLP */
    PyObject *flags;                 /* the TraceFlags from 0 to 255 */
    PyObject *random_bits;           /* makes ids */
    PyObject *detach;                /* current.detach, for a token of another context */
    Py_ssize_t slots[SLOTS];         /* offsets in a span */
    Py_ssize_t longest, encoded;     /* offsets in SharedAttributes */
    Py_ssize_t started, timed, timed_ns; /* offsets in SpanCounts */
};

extern struct library library;

static inline PyObject **slot_of(PyObject *span, enum slot slot)
{
    return (PyObject **)((char *)span + library.slots[slot]);
}

static inline int is_span(PyObject *object)
{
    return Py_TYPE(object) == library.native_span || Py_TYPE(object) == library.recorded_span;
}

/* Whether `object` is a tuple with the fields of a SpanContext: two ids, is_remote, flags, state, is_valid. */
static inline int is_span_context(PyObject *object)
{
    return object != NULL && PyTuple_Check(object) && PyTuple_GET_SIZE(object) == 6;
}

/* An int as `bytes` bytes, the highest first; 0 without an exception if it is none, or has not so many. */
static inline int big_endian(PyObject *number, unsigned char *place, size_t bytes)
{
    if (!PyLong_Check(number))
        return 0;
#if PY_VERSION_HEX >= 0x030D0000
    int failed = _PyLong_AsByteArray((PyLongObject *)number, place, bytes, 0, 0, 1) < 0;
#else
    int failed = _PyLong_AsByteArray((PyLongObject *)number, place, bytes, 0, 0) < 0;
#endif
    if (failed)
        PyErr_Clear();
    return !failed;
}

/* Names that are looked up often, as Python has them; a row of NULLs ends a list. */
struct name {
    PyObject **object;
    const char *text;
};

static inline int intern(const struct name *names)
{
    for (; names->object != NULL; names++)
        if ((*names->object = PyUnicode_InternFromString(names->text)) == NULL)
            return -1;
    return 0;
}

/* In each file, a function whose name ends in `add` adds its types to the module; -1 with an exception. */

/* --- look.c --------------------------------------------------------------------------------------------------------*/

/* Sets the prefixes of tokens; -1 with an exception. */
int look_configure(PyObject *prefixes);

/* Whether an exact str certainly holds no secret and no personal data; `False` only means that Python has to look. */
int is_harmless(PyObject *text);

/* --- attributes.c, writer.c ----------------------------------------------------------------------------------------*/

int attributes_add(PyObject *module);
int writer_add(PyObject *module);

/* --- span.c --------------------------------------------------------------------------------------------------------*/

/* The clocks of time.time_ns and time.perf_counter_ns. */
int64_t wall_clock(void), monotonic_clock(void);

/* The SpanContext of a span of this library, or of one that is not recorded, a new reference. NULL for another object,
 * or with an exception. */
PyObject *span_context_of(PyObject *span);

/* Sets a slot, which takes over the reference. */
void set_slot(PyObject *span, enum slot slot, PyObject *value);

/* The twin of RecordedSpan._set_at_once: 1 if all are set, 0 if none is, -1 with an exception. */
int set_at_once(PyObject *span, PyObject *attributes, Py_ssize_t longest);

/* The twin of RecordedSpan.end, a vectorcall. */
PyObject *span_end(PyObject *span, PyObject *const *args, Py_ssize_t count, PyObject *names);

/* Gives NativeSpan its methods; -1 with an exception. */
int span_add_methods(PyTypeObject *native_span);

/* --- scope.c, start.c ----------------------------------------------------------------------------------------------*/

/* A new Scope; the context may be NULL. */
PyObject *scope_of(PyObject *fail, PyObject *span, PyObject *context);

int scope_add(PyObject *module);
int start_add(PyObject *module);

/* --- headers.c -----------------------------------------------------------------------------------------------------*/

/* The context of the caller in headers; None if only the twin can read it. */
PyObject *parent_in(PyObject *headers, int is_http);

/* The context of the producer in the headers of a message, and a link to its span, in a tuple; None if only the twin
 * can read it. */
PyObject *producer_in(PyObject *headers);

/* The header's value for a SpanContext; None if only the twin can write it. */
PyObject *traceparent(PyObject *context);

/* The headers of a message with a context added, and with this span in place of the one in it; None if only the twin
 * can write them. */
PyObject *to_kafka(PyObject *headers, PyObject *context, PyObject *span);

/* The context in which a request is handled, and the headers of its response; None if only the twin can make them. */
PyObject *answer(PyObject *context, PyObject *span);

/* Whether all tuples of a list are pairs, and none holds NULL; the twin is in kafka.py. */
int is_intact(PyObject *headers);

/* Makes the names of headers; -1 with an exception. */
int headers_configure(void);

#endif
