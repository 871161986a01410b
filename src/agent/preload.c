/* The library's constructor. It runs before main() in every program that the
 * traced command starts; in all but CPython 3.13+ it does nothing. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "tracer/share.h"

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
    const char *holders = getenv("REFTRACER_HOLDERS");
    rft_config.holders = holders != NULL ? (uint32_t)rft_decimal(holders) : 0;
    const char *main_pid = getenv("REFTRACER_MAIN_PID");
    rft_config.main_process = main_pid != NULL && atol(main_pid) == (long)getpid();
}

/* Programs that this one starts are not to be traced. */
static void leave_environment(void)
{
    const char *ours[] = {"REFTRACER_OUTPUT", "REFTRACER_STATUS",  "REFTRACER_CHILDREN",
                          "REFTRACER_GC",     "REFTRACER_HOLDERS", "REFTRACER_MAIN_PID"};
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

/* See chain.c. Debug builds keep another flag in the same byte. */
static bool frames_can_be_tagged(void)
{
    const struct rft_layout *l = &tracer.layout;
    return l->version >= 0x030E05F0 && !l->free_threaded &&
           rft_symbol("_Py_INCREF_IncRefTotal") == NULL &&
           l->at[RFT_FRAME_LOCALS] == l->at[RFT_FRAME_OWNER] + 6;
}

/* Where PyThreadState_GetUnchecked() reads the thread state, relative to the thread
 * pointer: the tracer then reads it there itself, which saves each birth a call. Only
 * if the function is the usual few instructions, byte for byte: [endbr64;] and either
 * mov %fs:OFFSET,%rax or mov OFFSET(%rip),%rax; mov %fs:(%rax),%rax; then ret. 0: it is
 * something else (a libpython that asks __tls_get_addr, another processor). */
static intptr_t thread_state_at(void *(*function)(void))
{
    intptr_t at = 0;
#ifdef __x86_64__
    static const unsigned char endbr64[] = {0xF3, 0x0F, 0x1E, 0xFA};
    static const unsigned char absolute[] = {0x64, 0x48, 0x8B, 0x04, 0x25};
    static const unsigned char relative[] = {0x48, 0x8B, 0x05};
    static const unsigned char through[] = {0x64, 0x48, 0x8B, 0x00};
    const unsigned char *code;
    memcpy(&code, &function, sizeof code);
    if (memcmp(code, endbr64, sizeof endbr64) == 0) {
        code += sizeof endbr64;
    }
    int32_t offset;
    if (memcmp(code, absolute, sizeof absolute) == 0 && code[9] == 0xC3) {
        memcpy(&offset, code + 5, sizeof offset);
        at = offset;
    } else if (memcmp(code, relative, sizeof relative) == 0 &&
               memcmp(code + 7, through, sizeof through) == 0 && code[11] == 0xC3) {
        memcpy(&offset, code + 3, sizeof offset);
        memcpy(&at, code + 7 + offset, sizeof at);
    }
#else
    (void)function;
#endif
    return at;
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
    tracer.py.thread_state_at = thread_state_at(tracer.py.thread_state);
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

const char *rft_prepare(void)
{
    if (rft_symbol("Py_IsInitialized") == NULL) {
        return "no CPython runs in this process";
    }
    void *set_tracer = rft_symbol("PyRefTracer_SetTracer");
    if (set_tracer == NULL) {
        return "it has no reference tracer; CPython 3.13 or newer is needed";
    }
    memcpy(&tracer.py.set_tracer, &set_tracer, sizeof set_tracer);
    const char *error = find_cpython();
    if (error != NULL) {
        return error;
    }
    tracer.loses_deaths = rft_slot_lost_deaths(tracer.layout.version) != NULL;
    tracer.frame_tags = frames_can_be_tagged();
    return rft_hooks_find() ? NULL : "it does not export what a tracer needs";
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
    const char *error = rft_prepare();
    if (error != NULL) {
        refuse(error);
        return;
    }
    rft_leave_set_pid();
    rft_tracer_set_clock();
    if (!rft_hooks_install()) {
        refuse("it does not accept an audit hook");
    }
}
