/* What functions say that are given NULL for what they need, or nothing that they could read.
 * argv[1]: a trace that was looked through with --holders. */
#include <stdio.h>
#include <string.h>

#include <reftracer/runtime.h>
#include <reftracer/trace.h>
#include <reftracer/tracer.h>

static int wrong;

static void expect(const char *call, struct rft_error *error, enum rft_error_code code)
{
    if (!error || error->code != code || !*error->message) {
        printf("%s: %d %s\n", call, error ? (int)error->code : 0, error ? error->message : "");
        wrong = 1;
    }
    rft_error_destroy(error);
}

#define REFUSED(call) expect(#call, call, RFT_ERROR_ARGUMENT)

static struct rft_error *failed(int result, struct rft_error **error)
{
    return result == -1 ? *error : NULL;
}

int main(int argc, char **argv)
{
    struct rft_trace *trace = NULL;
    struct rft_space *space = NULL;
    struct rft_runtime *runtime = NULL;
    struct rft_error *error = NULL;
    const struct rft_snapshot *snapshot;
    rft_address address;
    rft_tracer_id id;
    char byte;

    REFUSED(rft_trace_read(NULL, NULL, &trace));
    REFUSED(rft_trace_read(argv[argc - 1], NULL, NULL));
    REFUSED(rft_trace_read_bytes(NULL, "a", 1, NULL, &trace));
    REFUSED(rft_trace_read_bytes("a", NULL, 1, NULL, &trace));
    REFUSED(rft_trace_read_bytes("a", "a", 1, NULL, NULL));
    REFUSED(rft_space_create_self(NULL));
    REFUSED(rft_space_create_process(1, NULL));
    REFUSED(rft_space_create_process(-1, &space));
    REFUSED(rft_space_create_core(NULL, NULL, &space));
    REFUSED(rft_space_create_core("core", NULL, NULL));
    REFUSED(rft_space_create_fake(NULL, 1, 0, &space));
    REFUSED(rft_space_create_fake(NULL, 0, 0, NULL));
    REFUSED(rft_space_read(NULL, 0, &byte, 1));
    REFUSED(rft_runtime_create(NULL, &runtime));
    REFUSED(rft_interpreter_head(NULL, &address));
    REFUSED(rft_interpreter_main(NULL, &address));
    REFUSED(rft_interpreter_next(NULL, 1, &address));
    REFUSED(rft_interpreter_thread_head(NULL, 1, &address));
    REFUSED(rft_thread_next(NULL, 1, &address));
    REFUSED(rft_snapshot_take(NULL, 0, &snapshot));
    REFUSED(failed(rft_tracer_add(NULL, NULL, &id, &error), &error));
    REFUSED(failed(rft_tracer_state(NULL, &error), &error));

    if (!rft_space_create_self(&space)) {
        REFUSED(rft_space_read(space, (rft_address)(size_t)&byte, NULL, 1));
        REFUSED(rft_runtime_create(space, NULL));
        /* The text that a CPython is found by is in this process, but no CPython. */
        char text[64] = {0};
        memcpy(text, "xdebugpy\xf0\x01\x89\xc5\xc6", 13);
        expect("no CPython", rft_runtime_create(space, &runtime), RFT_ERROR_NOT_PYTHON);
        wrong |= text[0] != 'x';
        rft_space_destroy(space);
    } else
        wrong = 1;

    if (!rft_trace_read(argv[argc - 1], NULL, &trace)) {
        size_t count;
        wrong |= rft_trace_heaps(trace, &count) != rft_trace_heaps(trace, NULL);
        rft_trace_losses(trace, NULL);
        rft_trace_marks(trace, NULL);
        wrong |= !count || !rft_trace_heap_holders(trace, 0, NULL);
        wrong |= rft_trace_heap_holders(trace, count, &count) != NULL || count;
        rft_trace_destroy(trace);
    } else
        wrong = 1;
    puts(wrong ? "wrong" : "as expected");
    return wrong;
}
