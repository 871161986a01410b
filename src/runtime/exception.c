#include "runtime/exception.h"

#include "runtime/kept.h"

/* Contexts of a thread: one for each generator that is running inside an except block. */
enum { CONTEXTS_MAX = 256 };

static const char *name_of_type(struct rft_runtime *runtime, rft_address address)
{
    struct rft_type type;
    if (!rft_type_read(runtime, address, &type) || !(type.flags & RFT_TPFLAGS_EXCEPTION))
        return "";
    return rft_arena_copy(&runtime->arena, type.name, strlen(type.name));
}

static const char *name_of_value(struct rft_runtime *runtime, rft_address value)
{
    uint64_t type;
    return rft_read_word(runtime, value + runtime->layout.at[RFT_OBJECT_TYPE], &type)
               ? name_of_type(runtime, type)
               : "";
}

/* Whether an empty context is marked with None, as up to 3.11. Asked each time by a thread that
 * has ever handled an exception, so the answer is remembered. */
static bool is_none(struct rft_runtime *runtime, rft_address object)
{
    struct rft_objects *kept = rft_objects_kept(runtime);
    struct rft_type type;
    if (runtime->minor > 11 || !kept)
        return false;
    if (!kept->none && rft_object_type(runtime, object, &type) && type.kind == RFT_OBJECT_NONE)
        kept->none = object;
    return object == kept->none;
}

/* A word of the thread state, from what was read of it or else from the target. */
static bool word(struct rft_runtime *runtime, rft_address thread, const unsigned char *state,
                 size_t size, rft_address address, uint64_t *value)
{
    if (address >= thread && size >= 8 && address - thread <= size - 8) {
        *value = rft_word(state, address - thread);
        return true;
    }
    return rft_read_word(runtime, address, value);
}

const char *rft_thread_exception(struct rft_runtime *runtime, rft_address thread,
                                 const unsigned char *state, size_t size)
{
    const struct rft_layout *layout = &runtime->layout;
    const uint32_t *at = layout->at;
    uint64_t raised, item;

    /* On its way up the stack: a type until 3.11 (the value may not have been made yet), since
     * then an exception. */
    bool by_type = layout->version < 0x030c0000;
    if (!word(runtime, thread, state, size,
              thread + at[by_type ? RFT_THREAD_EXC_TYPE : RFT_THREAD_EXCEPTION], &raised))
        return "";
    if (raised)
        return by_type ? name_of_type(runtime, raised) : name_of_value(runtime, raised);

    /* In an except or finally block: the first context that has one (_PyErr_GetTopmostException
     * in Python/errors.c). Each has exc_type, exc_value and exc_traceback until 3.10, and only
     * exc_value since, then the next one. An empty one has NULL or None. */
    size_t previous = layout->version < 0x030b0000 ? 24 : 8;
    if (!word(runtime, thread, state, size, thread + at[RFT_THREAD_EXC_INFO], &item))
        return "";
    for (unsigned i = 0; i < CONTEXTS_MAX && item; i++) {
        uint64_t handled;
        if (!word(runtime, thread, state, size, item, &handled))
            return "";
        if (handled && !is_none(runtime, handled)) {
            const char *name =
                previous == 24 ? name_of_type(runtime, handled) : name_of_value(runtime, handled);
            if (!name || *name)
                return name;
        }
        /* The thread's own context is the last one. */
        if (item == thread + at[RFT_THREAD_EXC_STATE] ||
            !word(runtime, thread, state, size, item + previous, &item))
            return "";
    }
    return "";
}
