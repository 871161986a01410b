/* Columns as an Arrow C stream, for the Python package (python/reftracer/_arrow.py):
 * https://arrow.apache.org/docs/format/CStreamInterface.html
 *
 * The consumer calls back when it likes: without the GIL, while an exception is on its way,
 * after Python's end. So nothing here is Python's: the columns are copied once into memory
 * of our own, and freed with the last structure that points there. A library of its own,
 * which needs libc only. */
#include "arrow/stream.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { NULLABLE = 2, BUFFERS_MAX = RFT_ARROW_BUFFERS_MAX, ALIGNMENT = 64 };

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

struct column {
    const char *name, *format;
    int64_t nulls, buffer_count;
    const void *buffers[BUFFERS_MAX];
};

/* What all structures of a stream point to. */
struct columns {
    _Atomic size_t users; /* acq_rel: who frees it comes after all others' use */
    _Atomic int sent;     /* the one batch has been given out */
    int64_t rows;
    size_t count;
    const void *no_validity; /* the only buffer of the batch itself */
    void *copies;            /* memory of the names and buffers */
    struct column items[];
};

static struct columns *use(struct columns *columns)
{
    atomic_fetch_add_explicit(&columns->users, 1, memory_order_relaxed);
    return columns;
}

static void drop(struct columns *columns)
{
    if (atomic_fetch_sub_explicit(&columns->users, 1, memory_order_acq_rel) == 1) {
        free(columns->copies);
        free(columns);
    }
}

/* --- schema ---------------------------------------------------------------------------- */

static void release_schema(struct ArrowSchema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        struct ArrowSchema *child = schema->children[i];
        if (child->release) /* else the consumer has moved it out */
            child->release(child);
    }
    free(schema->children); /* the children are in the same piece */
    schema->release = NULL;
    drop(schema->private_data);
}

/* `count` pointers, and behind them what they point to. */
static void *family(size_t count, size_t size)
{
    char *piece = calloc(count + 1, sizeof(void *) + size);
    void **pointers = (void **)(void *)piece;
    for (size_t i = 0; piece && i < count; i++)
        pointers[i] = piece + count * sizeof(void *) + i * size;
    return pointers;
}

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct columns *columns = stream->private_data;
    struct ArrowSchema **children = family(columns->count, sizeof **children);
    if (!children)
        return ENOMEM;
    for (size_t i = 0; i < columns->count; i++)
        *children[i] = (struct ArrowSchema){
            .format = columns->items[i].format,
            .name = columns->items[i].name,
            .flags = NULLABLE,
            .release = release_schema,
            .private_data = use(columns),
        };
    *out = (struct ArrowSchema){
        .format = "+s",
        .name = "",
        .n_children = (int64_t)columns->count,
        .children = children,
        .release = release_schema,
        .private_data = use(columns),
    };
    return 0;
}

/* --- the batch --------------------------------------------------------------------------- */

static void release_array(struct ArrowArray *array)
{
    for (int64_t i = 0; i < array->n_children; i++) {
        struct ArrowArray *child = array->children[i];
        if (child->release)
            child->release(child);
    }
    free(array->children);
    array->release = NULL;
    drop(array->private_data);
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct columns *columns = stream->private_data;
    *out = (struct ArrowArray){0}; /* without `release`: the stream's end */
    if (atomic_exchange(&columns->sent, 1))
        return 0;
    struct ArrowArray **children = family(columns->count, sizeof **children);
    if (!children) {
        atomic_store(&columns->sent, 0);
        return ENOMEM;
    }
    for (size_t i = 0; i < columns->count; i++) {
        struct column *column = &columns->items[i];
        *children[i] = (struct ArrowArray){
            .length = columns->rows,
            .null_count = column->nulls,
            .n_buffers = column->buffer_count,
            .buffers = column->buffers,
            .release = release_array,
            .private_data = use(columns),
        };
    }
    *out = (struct ArrowArray){
        .length = columns->rows,
        .n_buffers = 1,
        .n_children = (int64_t)columns->count,
        .buffers = &columns->no_validity,
        .children = children,
        .release = release_array,
        .private_data = use(columns),
    };
    return 0;
}

/* --- the stream ---------------------------------------------------------------------------- */

static const char *get_last_error(struct ArrowArrayStream *stream)
{
    (void)stream;
    return NULL; /* errno says it all: no memory */
}

static void release_stream(struct ArrowArrayStream *stream)
{
    stream->release = NULL;
    drop(stream->private_data);
}

static size_t aligned(size_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* A stream with a copy of the columns; NULL without memory. */
static struct ArrowArrayStream *create(const struct rft_arrow_column *from, size_t count,
                                       int64_t rows)
{
    size_t size = ALIGNMENT; /* an empty buffer has an address too */
    for (size_t i = 0; i < count; i++) {
        size += aligned(strlen(from[i].name) + 1) + aligned(strlen(from[i].format) + 1);
        for (int k = 0; k < BUFFERS_MAX; k++)
            size += aligned(from[i].sizes[k]);
    }
    struct ArrowArrayStream *stream = calloc(1, sizeof *stream);
    struct columns *columns = calloc(1, sizeof *columns + count * sizeof *columns->items);
    char *to = aligned_alloc(ALIGNMENT, size);
    if (!stream || !columns || !to) {
        free(stream);
        free(columns);
        free(to);
        return NULL;
    }
    *columns = (struct columns){.users = 1, .rows = rows, .count = count, .copies = to};
    for (size_t i = 0; i < count; i++) {
        struct column *column = &columns->items[i];
        column->nulls = from[i].nulls;
        column->buffer_count = from[i].buffer_count;
        column->name = strcpy(to, from[i].name);
        to += aligned(strlen(from[i].name) + 1);
        column->format = strcpy(to, from[i].format);
        to += aligned(strlen(from[i].format) + 1);
        for (int k = 0; k < BUFFERS_MAX; k++) {
            if (!from[i].buffers[k])
                continue;
            column->buffers[k] = memcpy(to, from[i].buffers[k], from[i].sizes[k]);
            to += aligned(from[i].sizes[k]);
        }
    }
    *stream = (struct ArrowArrayStream){
        .get_schema = get_schema,
        .get_next = get_next,
        .get_last_error = get_last_error,
        .release = release_stream,
        .private_data = columns,
    };
    return stream;
}

/* Functions of CPython, which this library is not linked with. */
static struct {
    void *(*new_capsule)(void *, const char *, void (*)(void *));
    void *(*get_pointer)(void *, const char *);
    void *(*no_memory)(void);
} py;

static const char stream_name[] = "arrow_array_stream";

static bool find(void *place, const char *name)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    memcpy(place, &symbol, sizeof symbol);
    return symbol != NULL;
}

/* A consumer that has taken the stream has set its `release` to NULL. */
static void destroy(void *capsule)
{
    struct ArrowArrayStream *stream = py.get_pointer(capsule, stream_name);
    if (stream && stream->release)
        stream->release(stream);
    free(stream);
}

EXPORT void *reftracer_arrow_capsule(const struct rft_arrow_column *columns, size_t count,
                                     int64_t rows)
{
    if (!find(&py.new_capsule, "PyCapsule_New") || !find(&py.get_pointer, "PyCapsule_GetPointer") ||
        !find(&py.no_memory, "PyErr_NoMemory"))
        return NULL;
    struct ArrowArrayStream *stream = create(columns, count, rows);
    if (!stream)
        return py.no_memory();
    void *capsule = py.new_capsule(stream, stream_name, destroy);
    if (!capsule) {
        release_stream(stream);
        free(stream);
    }
    return capsule;
}
