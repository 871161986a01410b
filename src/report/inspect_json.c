/* A look as JSON: docs/INSPECT-JSON.md describes it. What is not known is null. */
#include "report/inspect.h"

#include <inttypes.h>

static void key_string(struct rft_json *json, const char *key, const char *text)
{
    rft_json_key(json, key);
    rft_json_string(json, text != NULL && text[0] != '\0' ? text : NULL);
}

static void key_bool(struct rft_json *json, const char *key, bool value)
{
    rft_json_key(json, key);
    rft_json_bool(json, value);
}

static void key_uint(struct rft_json *json, const char *key, uint64_t value)
{
    rft_json_key(json, key);
    rft_json_uint(json, value);
}

/* Numbers of which `none` and what is below it say that there is none. */
static void key_int_above(struct rft_json *json, const char *key, int64_t value, int64_t none)
{
    rft_json_key(json, key);
    if (value > none)
        rft_json_int(json, value);
    else
        rft_json_null(json);
}

static void put_address(struct rft_json *json, rft_address address)
{
    char text[32];
    snprintf(text, sizeof text, "0x%" PRIx64, address);
    rft_json_string(json, text);
}

static void key_address(struct rft_json *json, const char *key, rft_address address)
{
    rft_json_key(json, key);
    if (address != 0)
        put_address(json, address);
    else
        rft_json_null(json);
}

/* --- process --------------------------------------------------------------------- */

static void write_signal(struct rft_json *json, const struct rft_process_facts *process)
{
    rft_json_key(json, "signal");
    if (process->signal == 0) {
        rft_json_null(json);
        return;
    }
    char name[32];
    rft_json_object_begin(json);
    key_uint(json, "number", (uint64_t)process->signal);
    key_string(json, "name", inspect_signal_name(process->signal, name, sizeof name));
    rft_json_key(json, "code");
    rft_json_int(json, process->signal_code);
    key_string(json, "cause", inspect_signal_cause(process->signal, process->signal_code));
    rft_json_key(json, "address");
    if (inspect_signal_has_address(process->signal, process->signal_code))
        put_address(json, process->fault); /* 0, too */
    else
        rft_json_null(json);
    key_int_above(json, "thread", process->signal_thread, 0);
    rft_json_object_end(json);
}

static void write_process(struct rft_json *json, const struct inspect_look *look)
{
    const struct rft_process_facts *process = look->process;
    rft_json_key(json, "process");
    rft_json_object_begin(json);
    key_string(json, "kind", look->kind == RFT_SPACE_CORE ? "core" : "process");
    key_int_above(json, "pid", process->pid, 0);
    key_int_above(json, "namespace_pid", process->namespace_pid, 0);
    key_string(json, "executable", process->executable);
    key_string(json, "command", process->command);
    key_string(json, "core", look->core);
    key_string(json, "python", look->runtime->version_text);
    key_uint(json, "version_hex", look->runtime->version);
    key_bool(json, "free_threaded", look->runtime->free_threaded);
    key_bool(json, "debug_build", look->runtime->debug_build);
    key_address(json, "runtime", look->runtime->address);
    key_bool(json, "finalizing", look->snapshot->finalizing);
    write_signal(json, process);
    key_string(json, "missing", process->missing);
    rft_json_object_end(json);
}

static struct rft_error *write_hints(struct rft_json *json, const struct inspect_look *look)
{
    struct inspect_hints hints = {0};
    struct rft_error *error = inspect_hints_find(&hints, look);
    rft_json_key(json, "hints");
    rft_json_array_begin(json);
    for (size_t i = 0; error == NULL && i < hints.list.count; i++) {
        const struct inspect_hint *hint = &hints.list.items[i];
        rft_json_object_begin(json);
        key_string(json, "kind", hint->kind);
        key_int_above(json, "interpreter", hint->interpreter != NULL ? hint->interpreter->id : -1,
                      -1);
        key_string(json, "text", hint->text);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
    inspect_hints_deinit(&hints);
    return error;
}

/* --- frames ------------------------------------------------------------------------ */

static void write_locals(struct rft_json *json, const struct rft_frame *frame)
{
    rft_json_key(json, "locals");
    rft_json_array_begin(json);
    for (size_t i = 0; i < frame->local_count; i++) {
        const struct rft_local *local = &frame->locals[i];
        rft_json_object_begin(json);
        key_string(json, "name", local->name);
        key_string(json, "type", local->type);
        rft_json_key(json, "value"); /* an empty one is null: the type has no short form */
        rft_json_string(json, local->value[0] != '\0' ? local->value : NULL);
        key_bool(json, "argument", local->argument);
        key_address(json, "object", local->object);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
}

static void write_frames(struct rft_json *json, const struct inspect_look *look,
                         const struct rft_frame *frames, size_t count)
{
    rft_json_key(json, "frames");
    rft_json_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        const struct rft_frame *frame = &frames[i];
        bool python = frame->kind == RFT_FRAME_PYTHON;
        rft_json_object_begin(json);
        key_string(json, "kind", python ? "python" : "native");
        /* A code object may have an empty name; an unknown C function has none. */
        rft_json_key(json, "function");
        rft_json_string(json, python || frame->function[0] != '\0' ? frame->function : NULL);
        rft_json_key(json, "file");
        rft_json_string(json, python || frame->file[0] != '\0' ? frame->file : NULL);
        key_int_above(json, "line", frame->line, 0);
        key_int_above(json, "column", frame->column, -1);
        key_int_above(json, "end_line", frame->end_line, 0);
        key_int_above(json, "end_column", frame->end_column, -1);
        key_address(json, "frame", frame->frame);
        key_address(json, "code", frame->code);
        if (python && (look->flags & RFT_SNAPSHOT_LOCALS) != 0)
            write_locals(json, frame);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
}

/* --- threads and tasks ----------------------------------------------------------------- */

static void write_looks(struct rft_json *json, const struct inspect_look *look,
                        const struct rft_thread *thread)
{
    const struct past_thread *seen = inspect_past_thread(look->past, thread->address);
    rft_json_key(json, "looks");
    rft_json_object_begin(json);
    key_uint(json, "present", seen != NULL ? seen->looks : 1);
    key_uint(json, "unmoved", seen != NULL ? seen->unmoved : 1);
    key_uint(json, "waits_for_gil", seen != NULL ? seen->waits : 0);
    key_uint(json, "holds_gil", seen != NULL ? seen->holds : 0);
    rft_json_object_end(json);
}

static void write_wait(struct rft_json *json, const struct inspect_look *look,
                       const struct rft_thread *thread)
{
    static const char *const kinds[] = {
        [RFT_WAIT_UNKNOWN] = "unknown", [RFT_WAIT_LOCK] = "lock",     [RFT_WAIT_RLOCK] = "rlock",
        [RFT_WAIT_THREAD] = "thread",   [RFT_WAIT_MODULE] = "module", [RFT_WAIT_SHARED] = "shared",
    };
    const struct rft_wait *wait = thread->waits_for;
    rft_json_key(json, "waits_for");
    if (wait == NULL) {
        rft_json_null(json);
        return;
    }
    const struct rft_thread *holder = inspect_waits_for(look, thread);
    rft_json_object_begin(json);
    key_string(json, "kind", kinds[wait->kind]);
    key_address(json, "object", wait->object);
    key_string(json, "module", wait->name);
    key_int_above(json, "holder", holder != NULL ? holder->native_id : 0, 0);
    key_address(json, "holder_address", wait->holder);
    key_string(json, "function", wait->function);
    key_string(json, "file", wait->file);
    key_int_above(json, "line", wait->line, 0);
    rft_json_object_end(json);
}

static void write_thread(struct rft_json *json, const struct inspect_look *look,
                         const struct rft_thread *thread)
{
    rft_json_object_begin(json);
    key_uint(json, "id", thread->id);
    key_int_above(json, "native_id", thread->native_id, 0);
    key_int_above(json, "namespace_native_id", thread->namespace_native_id, 0);
    rft_json_key(json, "name");
    rft_json_string(json, thread->name);
    key_bool(json, "main", thread->main);
    key_string(json, "state", inspect_state_name(thread->state));
    key_string(json, "gil", inspect_gil_name(thread->gil));
    key_bool(json, "gil_requested", thread->gil_requested);
    key_string(json, "exception", thread->exception);
    key_string(json, "waits_in", thread->waits_in);
    key_bool(json, "waits_timed", thread->waits_timed);
    write_wait(json, look, thread);
    key_address(json, "address", thread->address);
    write_looks(json, look, thread);
    write_frames(json, look, thread->frames, thread->frame_count);
    key_bool(json, "truncated", thread->truncated);
    key_string(json, "problem", thread->problem);
    rft_json_object_end(json);
}

static void write_tasks(struct rft_json *json, const struct inspect_look *look,
                        const struct rft_interpreter *interpreter)
{
    rft_json_key(json, "tasks");
    rft_json_array_begin(json);
    for (size_t i = 0; i < interpreter->task_count; i++) {
        const struct rft_task *task = &interpreter->tasks[i];
        rft_json_object_begin(json);
        key_address(json, "address", task->address);
        rft_json_key(json, "name");
        rft_json_string(json, task->name);
        key_bool(json, "running", task->running);
        key_address(json, "loop_thread", task->loop_thread);
        rft_json_key(json, "awaited_by");
        rft_json_array_begin(json);
        for (size_t j = 0; j < task->awaited_by_count; j++)
            put_address(json, task->awaited_by[j]);
        rft_json_array_end(json);
        write_frames(json, look, task->frames, task->frame_count);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
}

/* --- interpreters ---------------------------------------------------------------------- */

static void write_gil(struct rft_json *json, const struct inspect_look *look,
                      const struct rft_interpreter *interpreter)
{
    const struct past_thread *holder =
        interpreter->gil_holder != 0 ? inspect_past_thread(look->past, interpreter->gil_holder)
                                     : NULL;
    rft_json_key(json, "gil");
    rft_json_object_begin(json);
    key_bool(json, "enabled", interpreter->gil_enabled);
    key_bool(json, "own", interpreter->gil_own);
    key_bool(json, "locked", interpreter->gil_locked);
    key_bool(json, "requested", interpreter->gil_requested);
    key_int_above(json, "holder", holder != NULL ? holder->native_id : 0, 0);
    key_address(json, "holder_address", interpreter->gil_holder);
    key_address(json, "address", interpreter->gil);
    rft_json_object_end(json);
}

static void write_interpreter(struct rft_json *json, const struct inspect_look *look,
                              const struct rft_interpreter *interpreter)
{
    rft_json_object_begin(json);
    rft_json_key(json, "id");
    rft_json_int(json, interpreter->id);
    key_bool(json, "main", interpreter->main);
    key_bool(json, "idle", interpreter->idle);
    key_bool(json, "finalizing", interpreter->finalizing);
    key_address(json, "address", interpreter->address);
    write_gil(json, look, interpreter);
    rft_json_key(json, "gc");
    rft_json_object_begin(json);
    key_bool(json, "running", interpreter->gc_running);
    rft_json_object_end(json);
    key_uint(json, "thread_count", interpreter->thread_count);
    rft_json_key(json, "threads");
    rft_json_array_begin(json);
    for (size_t i = 0; i < interpreter->thread_count; i++)
        if (inspect_shows_thread(look, &interpreter->threads[i]))
            write_thread(json, look, &interpreter->threads[i]);
    rft_json_array_end(json);
    if ((look->flags & RFT_SNAPSHOT_TASKS) != 0)
        write_tasks(json, look, interpreter);
    key_string(json, "problem", interpreter->problem);
    rft_json_object_end(json);
}

struct rft_error *inspect_json(struct rft_json *json, const struct inspect_look *look)
{
    const struct rft_snapshot *snapshot = look->snapshot;
    rft_json_object_begin(json);
    key_string(json, "schema", INSPECT_SCHEMA);
    write_process(json, look);
    key_bool(json, "consistent", snapshot->consistent);
    key_uint(json, "attempts", snapshot->attempts);
    key_uint(json, "looks", look->past->looks);
    key_uint(json, "taken_ns", snapshot->taken_ns);
    key_uint(json, "duration_ns", snapshot->duration_ns);
    key_uint(json, "stopped_ns", snapshot->stopped_ns);
    key_string(json, "problem", snapshot->problem);
    struct rft_error *error = write_hints(json, look);
    rft_json_key(json, "interpreters");
    rft_json_array_begin(json);
    for (size_t i = 0; i < snapshot->interpreter_count; i++)
        if (inspect_shows_interpreter(look, &snapshot->interpreters[i]))
            write_interpreter(json, look, &snapshot->interpreters[i]);
    rft_json_array_end(json);
    rft_json_object_end(json);
    return error;
}
