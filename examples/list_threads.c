/* Lists every thread of every interpreter in a CPython process, with its innermost frame.
 *
 *     cc list_threads.c -o list_threads $(pkg-config --cflags --libs reftracer)
 *     ./list_threads 4711
 *
 * The process is only read: it is not stopped, and needs nothing installed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <reftracer/runtime.h>

static void print_thread(const struct rft_thread *thread)
{
    printf("  %-20s %8" PRId64 "  %s", thread->name, thread->native_id,
           thread->gil == RFT_GIL_HOLDS ? "holds the GIL, " : "");
    if (thread->frame_count > 0)
        printf("%s:%d %s\n", thread->frames[0].file, thread->frames[0].line,
               thread->frames[0].function);
    else
        printf("no Python frame\n");
    if (thread->problem[0] != '\0')
        printf("    not read: %s\n", thread->problem);
}

static struct rft_error *list_threads(struct rft_runtime *runtime)
{
    const struct rft_snapshot *snapshot; /* belongs to the runtime */
    struct rft_error *error = rft_snapshot_take(runtime, 0, &snapshot);
    if (error != NULL)
        return error;
    printf("CPython %s, %s\n", rft_runtime_facts(runtime)->version_text,
           snapshot->consistent ? "consistent" : "it changed while it was read");
    for (size_t i = 0; i < snapshot->interpreter_count; i++) {
        const struct rft_interpreter *interpreter = &snapshot->interpreters[i];
        printf("interpreter %" PRId64 "%s\n", interpreter->id, interpreter->idle ? ", idle" : "");
        for (size_t j = 0; j < interpreter->thread_count; j++)
            print_thread(&interpreter->threads[j]);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: list_threads PID\n");
        return 2;
    }
    struct rft_space *space = NULL;
    struct rft_runtime *runtime = NULL;
    struct rft_error *error = rft_space_create_process(atoi(argv[1]), &space);
    if (error == NULL)
        error = rft_runtime_create(space, &runtime);
    if (error == NULL)
        error = list_threads(runtime);
    if (error != NULL)
        fprintf(stderr, "list_threads: %s\n", error->message);
    int status = error != NULL;
    rft_error_destroy(error);
    rft_runtime_destroy(runtime); /* before its space; NULL is allowed */
    rft_space_destroy(space);
    return status;
}
