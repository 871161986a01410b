/* Being alone. In a build with a GIL whoever has it is alone in the interpreter. In a
 * free-threaded one objects come and go in other threads while a census reads them. There
 * PyUnstable_GC_VisitObjects() stops the world before its first call of the visitor and lets
 * it go after the last one (Python/gc_free_threading.c, 3.13 to 3.15), so all is done in the
 * first call. Threads of other interpreters are not stopped by it. */
#include "tracer/tracer.h"

struct work {
    void (*function)(void *);
    void *argument;
    bool done;
};

static int first_object(void *op, void *argument)
{
    (void)op;
    struct work *work = argument;
    work->done = true;
    work->function(work->argument);
    return 0; /* no further one */
}

void rft_alone(void (*function)(void *), void *argument)
{
    struct work work = {function, argument, false};
    if (tracer.layout.free_threaded && tracer.py.visit_gc_objects != NULL &&
        tracer.py.thread_state() != NULL) {
        tracer.py.visit_gc_objects(first_object, &work);
    }
    if (!work.done) {
        function(argument);
    }
}
