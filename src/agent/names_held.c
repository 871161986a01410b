/* Which strings live only because the interpreter remembers what was looked up.
 *
 * struct type_cache (Objects/typeobject.c, 3.13 to 3.15) has 4,096 entries {version, name,
 * value}, chosen by the type's version and the *address* of the name, and owns the names. So
 * a program that makes names as it runs (`getattr(self, "visit_" + kind)`, much C code) leaves
 * a string there with each look-up, until another name takes its entry: soon, or at the end of
 * the program, or never. In the counts such strings look like a slow leak. That they
 * are in the table says nothing by itself, since a kept name is there too; that nobody else
 * refers to them does.
 *
 * The table is part of the main interpreter, whose memory is there until the end; so the
 * ticker may read it while the program runs. Names are addresses there, which the live map
 * knows or not; the only thing that is read of the objects is their refcount, through the
 * kernel, which fails instead of crashing. What is read in passing may be a moment old: the
 * numbers are for an analysis that looks at hundreds of them. */
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "agent/agent.h"
#include "tracer/live_map.h"
#include "tracer/nodes.h"

#define EXPORT __attribute__((visibility("default")))

enum {
    ENTRIES = 4096,
    ENTRY = 24, /* version, unused, name, value */
    NAME = 8,
    TYPES_ASKED = 64, /* names whose type is looked at, to know the table */
    BATCH = 256,
    /* Between two looks: so long, or this share of the time since the start, so that a long
     * run has few more than a short one. */
    LOOK_MS = 500,
    LOOK_SHARE = 20,
    LOOK_SOON_MS = 50, /* the least, when a mark or a census comes */
};

/* Behind the record's lock, but for `table`, which is set while the GIL is held. */
static struct {
    const char *_Atomic table; /* of the main interpreter; NULL: not found */
    uint32_t last_ms;
    bool looked, any; /* since the start; in the last look */
    uint32_t sites[ENTRIES];
    const char *strings[ENTRIES]; /* of a look: its names by address */
} names;

static bool read_memory(const void *from, void *to, size_t size)
{
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
}

static const char *name_of(const char *table, unsigned entry)
{
    const char *name;
    memcpy(&name, table + (size_t)entry * ENTRY + NAME, sizeof name);
    return name;
}

/* Is this the table? Its entries have None for a name, or a str. */
static bool is_table(const char *at, const char *none, const char *str)
{
    unsigned asked = 0;
    for (unsigned i = 0; i < ENTRIES; i++) {
        const char *name = name_of(at, i), *type;
        uint32_t unused;
        memcpy(&unused, at + (size_t)i * ENTRY + 4, sizeof unused);
        if (unused != 0 || name == NULL || (uintptr_t)name % 8 != 0 || (uintptr_t)name < 4096) {
            return false;
        }
        if (name != none && asked < TYPES_ASKED) {
            asked++;
            if (!read_memory(name + tracer.layout.at[RFT_OBJECT_TYPE], &type, sizeof type) ||
                type != str) {
                return false;
            }
        }
    }
    return true;
}

void rft_names_held_begin(const char *tstate)
{
    atomic_store(&names.table, NULL);
    names.last_ms = 0;
    names.looked = names.any = false;
    const char *none = rft_symbol("_Py_NoneStruct"), *str = rft_symbol("PyUnicode_Type");
    /* Free-threaded builds count references elsewhere. */
    if (tstate == NULL || !rft_is_main_interpreter((void *)(uintptr_t)tstate) || none == NULL ||
        str == NULL || tracer.layout.free_threaded) {
        return;
    }
    const char *interpreter;
    memcpy(&interpreter, tstate + tracer.layout.at[RFT_THREAD_INTERP], sizeof interpreter);
    size_t size = tracer.layout.at[RFT_INTERP_SIZE], table = (size_t)ENTRIES * ENTRY;
    for (size_t at = 0; at + table <= size; at += 8) {
        if (is_table(interpreter + at, none, str)) {
            atomic_store(&names.table, interpreter + at);
            return;
        }
    }
}

EXPORT unsigned reftracer_name_lookups(const void *string)
{
    const char *table = atomic_load(&names.table);
    unsigned found = 0;
    for (unsigned i = 0; table != NULL && i < ENTRIES; i++) {
        found += name_of(table, i) == string;
    }
    return found;
}

/* The site of the string that was born in the trace and is alive at this address; 0: none, or one
 * that is too new for the trace to know it. */
static uint32_t site_at(const char *address, uint32_t known)
{
    rft_leaf leaf = rft_live_map_leaf((uintptr_t)address, false);
    uint32_t slot = leaf == NULL
                        ? 0
                        : atomic_load_explicit(&leaf[((uintptr_t)address >> 4) % RFT_LEAF_SLOTS],
                                               memory_order_relaxed);
    const struct rft_site *site = slot == 0 ? NULL : rft_cohort(slot >> RFT_STAMP_BITS)->site;
    bool counts = site != NULL && site->kind == RFT_KIND_STR && !(site->flags & RFT_SITE_ENDED);
    return counts && site->id <= known ? site->id : 0;
}

/* How many references these have. False: they cannot be read. */
static bool read_refcounts(const char *const *strings, uint32_t *refcounts, unsigned count)
{
    struct iovec remote[BATCH];
    for (unsigned i = 0; i < count; i++) {
        remote[i] = (struct iovec){(void *)(uintptr_t)strings[i], sizeof *refcounts};
    }
    for (unsigned done = 0; done < count;) {
        struct iovec local = {refcounts + done, (count - done) * sizeof *refcounts};
        ssize_t got = process_vm_readv(getpid(), &local, 1, remote + done, count - done, 0);
        unsigned read = got > 0 ? (unsigned)got / sizeof *refcounts : 0;
        if (read == 0 && done == 0) {
            return false;
        }
        done += read;
        if (done < count) {
            refcounts[done++] = 0; /* freed memory that was given back */
        }
    }
    return true;
}

static void sort(uint32_t *ids, unsigned count)
{
    for (unsigned gap = count / 2; gap > 0; gap /= 2) {
        for (unsigned i = gap; i < count; i++) {
            uint32_t id = ids[i];
            unsigned at = i;
            for (; at >= gap && ids[at - gap] > id; at -= gap) {
                ids[at] = ids[at - gap];
            }
            ids[at] = id;
        }
    }
}

static void sort_addresses(const char **strings, unsigned count)
{
    for (unsigned gap = count / 2; gap > 0; gap /= 2) {
        for (unsigned i = gap; i < count; i++) {
            const char *string = strings[i];
            unsigned at = i;
            for (; at >= gap && (uintptr_t)strings[at - gap] > (uintptr_t)string; at -= gap) {
                strings[at] = strings[at - gap];
            }
            strings[at] = string;
        }
    }
}

/* A name that was looked up in several types, as each attribute of a class is in its metaclass
 * too, has an entry for each, and as many references. */
static bool look(const char *table, unsigned *ret_count)
{
    const char *strings[BATCH];
    uint32_t sites[BATCH], refcounts[BATCH], entries[BATCH];
    uint32_t known = rft_tick_sites_written();
    unsigned batch = 0, count = 0;
    for (unsigned i = 0; i < ENTRIES; i++) {
        names.strings[i] = name_of(table, i);
    }
    sort_addresses(names.strings, ENTRIES);
    for (unsigned i = 0, same; i <= ENTRIES; i += same) {
        uint32_t site = 0;
        for (same = 1; i + same < ENTRIES && names.strings[i + same] == names.strings[i]; same++) {
        }
        if (i < ENTRIES) {
            strings[batch] = names.strings[i];
            entries[batch] = same;
            sites[batch] = site = site_at(strings[batch], known);
        }
        batch += site != 0;
        if (batch < BATCH && i < ENTRIES) {
            continue;
        }
        if (batch > 0 && !read_refcounts(strings, refcounts, batch)) {
            return false;
        }
        for (unsigned k = 0; k < batch; k++) {
            if (refcounts[k] == entries[k]) {
                names.sites[count++] = sites[k];
            }
        }
        batch = 0;
    }
    *ret_count = count;
    return true;
}

bool rft_names_held_look(uint32_t now, bool soon, struct rft_buffer *to)
{
    const char *table = atomic_load(&names.table);
    uint32_t pause = now / LOOK_SHARE > LOOK_MS ? now / LOOK_SHARE : LOOK_MS;
    unsigned count;
    if (table == NULL || now - names.last_ms < (soon ? LOOK_SOON_MS : pause)) {
        return false;
    }
    names.last_ms = now;
    if (!look(table, &count)) {
        atomic_store(&names.table, NULL); /* nor will it be read another time */
        return false;
    }
    if (count == 0 && names.looked && !names.any) {
        return false;
    }
    names.looked = true;
    names.any = count > 0;
    sort(names.sites, count);
    unsigned different = 0;
    for (unsigned i = 0; i < count; i++) {
        different += i == 0 || names.sites[i] != names.sites[i - 1];
    }
    rft_buffer_varint(to, now);
    rft_buffer_varint(to, different);
    uint32_t last = 0;
    for (unsigned i = 0, same; i < count; i += same) {
        for (same = 1; i + same < count && names.sites[i + same] == names.sites[i]; same++) {
        }
        rft_buffer_varint(to, names.sites[i] - last);
        rft_buffer_varint(to, same);
        last = names.sites[i];
    }
    return !to->failed;
}
