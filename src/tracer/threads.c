/* Threads' names and records. */
#include "tracer/chain.h"
#include "tracer/text.h"
#include "tracer/tracer.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Adds the thread's record to the trace. Holds tracer.lock. */
void rft_thread_define(struct rft_thread *t, uint32_t end)
{
    tracer.threads_n++;
    rft_buffer_varint(&tracer.thread_records, t->id);
    rft_buffer_varint(&tracer.thread_records, (unsigned)t->native_id);
    rft_buffer_varint(&tracer.thread_records, t->name);
    rft_buffer_varint(&tracer.thread_records, t->start);
    rft_buffer_varint(&tracer.thread_records, end);
}

/* The name that threading gave: the outermost frame of its threads is
 * Thread._bootstrap(self) (Lib/threading.py). */
static size_t threading_name(struct rft_thread *t, char *to, size_t size)
{
    uintptr_t frame = t->chain[0].frame;
    uintptr_t word = *(uintptr_t *)(frame + tracer.layout.at[RFT_FRAME_EXECUTABLE]);
    const char *code = (const char *)(word & ~(uintptr_t)3);
    char name[64];
    const void *qualname = *(void *const *)(code + tracer.layout.at[RFT_CODE_QUALNAME]);
    size_t length = rft_str_to_utf8(qualname, name, sizeof name);
    if (length != strlen("Thread._bootstrap") || memcmp(name, "Thread._bootstrap", length) != 0) {
        return 0;
    }
    uintptr_t self = *(uintptr_t *)(frame + tracer.layout.at[RFT_FRAME_LOCALS]) & ~(uintptr_t)3;
    const void *value = self != 0 ? rft_instance_value((void *)self, "_name") : NULL;
    return value != NULL ? rft_str_to_utf8(value, to, size) : 0;
}

void rft_thread_name(struct rft_thread *t)
{
    char name[256];
    size_t length = threading_name(t, name, sizeof name);
    if (length == 0 && t->native_id == getpid()) {
        length = (size_t)snprintf(name, sizeof name, "MainThread");
    }
    char os_name[17] = "thread";
    if (length == 0) {
        prctl(PR_GET_NAME, os_name);
        length = (size_t)snprintf(name, sizeof name, "%.16s-%d", os_name, t->native_id);
    }
    pthread_mutex_lock(&tracer.lock);
    t->named = true;
    t->name = rft_string_id(name, length);
    rft_thread_define(t, 0);
    pthread_mutex_unlock(&tracer.lock);
}
