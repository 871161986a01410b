/* The library's constructor. It runs before main() in every program that the
 * traced command starts; in all but CPython 3.13+ it does nothing. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"

void *rft_symbol(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

static void copy_variable(const char *name, char *to, size_t size)
{
    const char *value = getenv(name);
    if (value != NULL && strlen(value) < size) {
        strcpy(to, value);
    }
}

static bool flag_variable(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || strcmp(value, "0") != 0;
}

static void read_config(void)
{
    copy_variable("REFTRACER_OUTPUT", rft_config.output, sizeof rft_config.output);
    copy_variable("REFTRACER_STATUS", rft_config.status, sizeof rft_config.status);
    rft_config.children = flag_variable("REFTRACER_CHILDREN");
    rft_config.collect = flag_variable("REFTRACER_GC");
    const char *main_pid = getenv("REFTRACER_MAIN_PID");
    rft_config.main_process = main_pid != NULL && atol(main_pid) == (long)getpid();
}

/* Programs that this one starts are not to be traced. */
static void leave_environment(void)
{
    const char *ours[] = {"REFTRACER_OUTPUT", "REFTRACER_STATUS", "REFTRACER_CHILDREN",
                          "REFTRACER_GC", "REFTRACER_MAIN_PID"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        unsetenv(ours[i]);
    }
    char *preload = getenv("LD_PRELOAD");
    char *rest = preload != NULL ? strpbrk(preload, ": ") : NULL;
    if (rest != NULL) {
        setenv("LD_PRELOAD", rest + 1, 1); /* ours is the first */
    } else {
        unsetenv("LD_PRELOAD");
    }
}

static void refuse(const char *reason)
{
    const char *(*get_version)(void) =
        (const char *(*)(void))(uintptr_t)rft_symbol("Py_GetVersion");
    char version[64] = "?";
    if (get_version != NULL) {
        snprintf(version, sizeof version, "%.60s", get_version());
        version[strcspn(version, " ")] = 0;
    }
    char exe[512];
    ssize_t length = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[length > 0 ? length : 0] = 0;
    rft_status("refused %d CPython %s (%s): %s", (int)getpid(), version, exe, reason);
    if (rft_config.main_process) {
        rft_say("not traced: CPython %s (%s): %s", version, exe, reason);
    }
}

/* Releases that do not report every death: gh-130382 (fixed in 3.13.3) and
 * gh-156371 (fixed in 3.14.8 and 3.15.1). */
static bool loses_deaths(uint32_t version)
{
    return version < 0x030D03F0 || (version >= 0x030E0000 && version < 0x030E08F0) ||
           (version >= 0x030F0000 && version < 0x030F01F0);
}

/* See chain.c. Debug builds keep another flag in the same byte. */
static bool frames_can_be_tagged(void)
{
    const struct rft_layout *l = &tracer.layout;
    return l->version >= 0x030E05F0 && !l->free_threaded &&
           rft_symbol("_Py_INCREF_IncRefTotal") == NULL &&
           l->at[RFT_FRAME_LOCALS] == l->at[RFT_FRAME_OWNER] + 6;
}

static const char *find_cpython(void)
{
    static const struct {
        void *place;
        const char *name;
    } symbols[] = {
        {&tracer.py.thread_state, "PyThreadState_GetUnchecked"},
        {&tracer.py.get_tracer, "PyRefTracer_GetTracer"},
        {&tracer.py.is_initialized, "Py_IsInitialized"},
        {&tracer.py.runtime, "_PyRuntime"},
        {&tracer.py.code_type, "PyCode_Type"},
        {&tracer.py.set_type, "PySet_Type"},
        {&tracer.py.frozenset_type, "PyFrozenSet_Type"},
        {&tracer.py.bytearray_type, "PyByteArray_Type"},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *symbol = rft_symbol(symbols[i].name);
        if (symbol == NULL) {
            return "it does not export what a tracer needs";
        }
        memcpy(symbols[i].place, &symbol, sizeof symbol);
    }
    void *visit = rft_symbol("PyUnstable_GC_VisitObjects");
    memcpy(&tracer.py.visit_gc_objects, &visit, sizeof visit);
    return rft_layout_parse(tracer.py.runtime, 1024, &tracer.layout);
}

void rft_tracer_set_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    tracer.start_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static __attribute__((constructor)) void at_library_start(void)
{
    if (getenv("REFTRACER_OUTPUT") == NULL || rft_symbol("Py_IsInitialized") == NULL) {
        return; /* not asked for, or not a Python */
    }
    read_config();
    if (!rft_config.children) {
        leave_environment();
    }
    void *set_tracer = rft_symbol("PyRefTracer_SetTracer");
    if (set_tracer == NULL) {
        refuse("it has no reference tracer; CPython 3.13 or newer is needed");
        return;
    }
    memcpy(&tracer.py.set_tracer, &set_tracer, sizeof set_tracer);
    const char *error = find_cpython();
    if (error != NULL) {
        refuse(error);
        return;
    }
    tracer.loses_deaths = loses_deaths(tracer.layout.version);
    tracer.frame_tags = frames_can_be_tagged();
    rft_leave_set_pid();
    rft_tracer_set_clock();
    if (!rft_hooks_install()) {
        refuse("it does not accept an audit hook");
    }
}
