/* What earlier looks have seen, thread by thread. */
#include "report/inspect.h"

#include <stdlib.h>
#include <string.h>

static void free_threads(struct past_thread *threads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(threads[i].marks);
        free(threads[i].name);
    }
    free(threads);
}

void inspect_past_deinit(struct inspect_past *past)
{
    free_threads(past->threads, past->thread_count);
    free_threads(past->gone, past->gone_count);
    *past = (struct inspect_past){0};
}

static int by_address(const void *left, const void *right)
{
    const struct past_thread *a = left, *b = right;
    return (a->address > b->address) - (a->address < b->address);
}

static struct past_thread *find(struct past_thread *threads, size_t count, rft_address address)
{
    struct past_thread key = {.address = address};
    return count > 0 ? bsearch(&key, threads, count, sizeof *threads, by_address) : NULL;
}

const struct past_thread *inspect_past_thread(const struct inspect_past *past, rft_address address)
{
    return find(past->threads, past->thread_count, address);
}

/* Two looks find the same mark if the frame is the same and still at the same place. */
static uint64_t mark_of(const struct rft_frame *frame)
{
    const uint64_t parts[] = {frame->frame, frame->code, (uint64_t)frame->line,
                              (uint64_t)frame->column};
    uint64_t mark = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        mark = (mark ^ parts[i]) * 0x9e3779b97f4a7c15u;
        mark ^= mark >> 29;
    }
    return mark;
}

/* C frames are left out: not every look has them. */
static bool mark_frames(struct past_thread *thread)
{
    const struct rft_thread *now = thread->now;
    thread->marks = malloc(sizeof *thread->marks * (now->frame_count + 1));
    if (thread->marks == NULL)
        return false;
    for (size_t i = 0; i < now->frame_count; i++)
        if (now->frames[i].kind == RFT_FRAME_PYTHON)
            thread->marks[thread->mark_count++] = mark_of(&now->frames[i]);
    return true;
}

static size_t common_outer_frames(const struct past_thread *a, const struct past_thread *b)
{
    size_t most = a->mark_count < b->mark_count ? a->mark_count : b->mark_count;
    size_t same = 0;
    while (same < most && a->marks[a->mark_count - 1 - same] == b->marks[b->mark_count - 1 - same])
        same++;
    return same;
}

/* before: the same thread in the look before, or NULL. */
static void compare(struct past_thread *thread, const struct past_thread *before, uint64_t now_ns)
{
    thread->looks = thread->unmoved = 1;
    thread->waits = thread->now->gil == RFT_GIL_WAITS;
    thread->holds = thread->now->gil == RFT_GIL_HOLDS;
    thread->unmoved_since_ns = thread->waits_since_ns = now_ns;
    if (before == NULL)
        return;
    thread->looks += before->looks;
    thread->ran = before->ran;
    thread->kept = common_outer_frames(thread, before);
    if (thread->kept == thread->mark_count && thread->kept == before->mark_count) {
        thread->unmoved += before->unmoved;
        thread->unmoved_since_ns = before->unmoved_since_ns;
    }
    if (thread->waits > 0 && before->waits > 0) {
        thread->waits += before->waits;
        thread->waits_since_ns = before->waits_since_ns;
    }
    if (thread->holds > 0)
        thread->holds += before->holds;
}

void inspect_past_moved(const struct inspect_past *past, struct past_thread *thread)
{
    thread->unmoved = 1;
    thread->unmoved_since_ns = past->now_ns;
}

void inspect_past_add_same(struct inspect_past *past, uint64_t now_ns)
{
    for (size_t i = 0; i < past->thread_count; i++) {
        struct past_thread *thread = &past->threads[i];
        thread->looks++;
        thread->unmoved++;
        thread->waits += thread->waits > 0;
        thread->holds += thread->holds > 0;
        thread->kept = thread->mark_count;
    }
    past->looks++;
    past->now_ns = now_ns;
}

static bool is_same_thread(const struct past_thread *a, const struct past_thread *b)
{
    return a->id == b->id && a->native_id == b->native_id;
}

struct rft_error *inspect_past_add(struct inspect_past *past, const struct rft_snapshot *snapshot)
{
    size_t count = 0;
    for (size_t i = 0; i < snapshot->interpreter_count; i++)
        count += snapshot->interpreters[i].thread_count;
    struct past_thread *threads = calloc(count + 1, sizeof *threads);
    if (threads == NULL)
        return rft_error_no_memory();
    size_t used = 0;
    for (size_t i = 0; i < snapshot->interpreter_count; i++) {
        const struct rft_interpreter *interpreter = &snapshot->interpreters[i];
        for (size_t j = 0; j < interpreter->thread_count; j++) {
            const struct rft_thread *now = &interpreter->threads[j];
            struct past_thread *thread = &threads[used++];
            *thread = (struct past_thread){.address = now->address,
                                           .id = now->id,
                                           .native_id = now->native_id,
                                           .now = now,
                                           .interpreter = interpreter,
                                           .name = strdup(now->name)};
            if (thread->name == NULL || !mark_frames(thread)) {
                free_threads(threads, used);
                return rft_error_no_memory();
            }
        }
    }
    qsort(threads, count, sizeof *threads, by_address);

    uint64_t now_ns = snapshot->taken_ns;
    struct past_thread *gone = past->threads; /* reused: what is found again is taken out */
    size_t gone_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct past_thread *before = find(past->threads, past->thread_count, threads[i].address);
        bool same = before != NULL && is_same_thread(before, &threads[i]);
        compare(&threads[i], same ? before : NULL, now_ns);
        if (same)
            before->now = NULL;
    }
    for (size_t i = 0; i < past->thread_count; i++) {
        if (past->threads[i].now != NULL) {
            gone[gone_count++] = past->threads[i];
        } else {
            free(past->threads[i].marks);
            free(past->threads[i].name);
        }
    }
    free_threads(past->gone, past->gone_count);
    past->gone = gone;
    past->gone_count = gone_count;
    for (size_t i = 0; i < gone_count; i++) {
        gone[i].now = NULL; /* their snapshot is no more */
        gone[i].interpreter = NULL;
    }
    past->threads = threads;
    past->thread_count = count;
    if (past->looks++ == 0)
        past->first_ns = now_ns;
    past->now_ns = now_ns;
    return NULL;
}
