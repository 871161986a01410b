#include "runtime/coroutine.h"

#include "runtime/object.h"

enum {
    CHAIN_MAX = 1024, /* coroutines that wait for each other, one in the other */
    GENERATOR_BYTES = 512,
};

/* What a coroutine waits for may be wrapped. Each of these has the wrapped object right
 * behind its head (Objects/genobject.c, Objects/iterobject.c). */
static bool is_wrapper(const struct rft_type *type)
{
    static const char *const names[] = {"coroutine_wrapper", "async_generator_asend",
                                        "async_generator_athrow", "anext_awaitable"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!(type->flags & RFT_TPFLAGS_HEAP_TYPE) && !strcmp(type->name, names[i]))
            return true;
    }
    return false;
}

static bool is_generator(const struct rft_type *type)
{
    static const char *const names[] = {"coroutine", "generator", "async_generator"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!(type->flags & RFT_TPFLAGS_HEAP_TYPE) && !strcmp(type->name, names[i]))
            return true;
    }
    return false;
}

/* The generator in an object that is awaited, 0 if there is none. */
static rft_address unwrap(struct rft_runtime *runtime, rft_address object)
{
    struct rft_type type;
    for (unsigned i = 0; i < 4 && rft_object_type(runtime, object, &type); i++) {
        if (is_generator(&type))
            return object;
        if (!is_wrapper(&type) ||
            !rft_read_word(runtime, object + rft_at(runtime, RFT_OBJECT_SIZE), &object))
            break;
    }
    return 0;
}

/* Whether a generator's frame waits in `await` or `yield from`, and how far below the top of
 * its stack what it waits for lies (_PyGen_yf in Objects/genobject.c; the states are those of
 * enum _framestate, Include/internal/pycore_frame.h). */
static bool waits(const struct rft_runtime *runtime, int8_t state, unsigned *words)
{
    bool newer = runtime->minor >= 15;
    *words = newer ? 2 : 1; /* 3.15 has an index or NULL on top of it */
    return newer ? state == 2 || state == 3 : state == -1;
}

void rft_coroutine_frames(struct rft_runtime *runtime, rft_address coroutine,
                          struct rft_locals *locals, const struct rft_frame **frames,
                          size_t *frame_count)
{
    struct rft_frame found[CHAIN_MAX];
    rft_address seen[CHAIN_MAX];
    size_t count = 0, frame_at = rft_at(runtime, RFT_GEN_IFRAME);
    size_t size = frame_at + rft_frame_bytes(runtime);
    unsigned char bytes[GENERATOR_BYTES];
    *frames = NULL;
    *frame_count = 0;
    if (size > sizeof bytes || rft_at(runtime, RFT_GEN_STATE) >= size)
        return;
    for (size_t i = 0; i < CHAIN_MAX && count < CHAIN_MAX; i++) {
        unsigned words;
        uint64_t awaited;
        coroutine = unwrap(runtime, coroutine);
        if (!coroutine || !rft_space_try(runtime->space, coroutine, bytes, size))
            break;
        /* What waits for itself has been changed under our eyes. */
        seen[i] = coroutine;
        bool again = false;
        for (size_t s = 0; s < i && !again; s++)
            again = seen[s] == coroutine;
        if (again)
            break;
        memset(&found[count], 0, sizeof found[count]);
        if (rft_frame_describe(runtime, coroutine + frame_at, bytes + frame_at, &found[count])) {
            if (locals)
                rft_locals_of_frame(locals, &found[count], NULL, 0);
            count++;
        }
        rft_address top = rft_word(bytes, frame_at + rft_at(runtime, RFT_FRAME_STACKPOINTER));
        if (!waits(runtime, (int8_t)bytes[rft_at(runtime, RFT_GEN_STATE)], &words) || !top ||
            !rft_read_word(runtime, top - 8 * words, &awaited))
            break;
        coroutine = awaited & ~UINT64_C(7);
    }
    struct rft_frame *kept = rft_arena_alloc(&runtime->arena, (count + 1) * sizeof *kept);
    if (!kept)
        return;
    for (size_t i = 0; i < count; i++)
        kept[i] = found[count - 1 - i];
    *frames = kept;
    *frame_count = count;
}
