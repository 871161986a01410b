#include "runtime/version.h"

#include <stdlib.h>

/* --- sys.NAME, out of the dict of the sys module ------------------------------------- */

/* More than sys has. */
enum { ENTRIES_MAX = 4096, KEY_BYTES = 96 };

/* A dict's keys: where its entries begin, how large they are, where the key is in one. */
struct entries {
    rft_address start;
    uint64_t count;
    size_t size, key;
};

/* struct _dictkeysobject (Objects/dict-common.h until 3.10, Include/internal/pycore_dict.h
 * since). */
static bool find_entries(struct rft_runtime *runtime, rft_address dict, struct entries *entries)
{
    uint64_t keys;
    unsigned char head[40];
    if (!rft_read_field(runtime, dict, RFT_DICT_KEYS, &keys) ||
        !rft_space_try(runtime->space, keys, head, sizeof head)) {
        return false;
    }
    uint64_t index_bytes;
    if (runtime->minor <= 10) {
        /* dk_refcnt, dk_size, dk_lookup, dk_usable, dk_nentries, dk_indices */
        uint64_t size = rft_word(head, 8);
        index_bytes = size <= 0xff ? size : size <= 0xffff ? size * 2 : size * 4;
        *entries = (struct entries){keys + 40 + index_bytes, rft_word(head, 32), 24, 8};
    } else {
        /* dk_refcnt, dk_log2_size, dk_log2_index_bytes, dk_kind, [dk_mutex,] dk_version,
         * dk_usable, dk_nentries, dk_indices */
        if (head[9] > 32) {
            return false;
        }
        index_bytes = 1ull << head[9];
        bool general = head[10] == 0;
        *entries = (struct entries){keys + 32 + index_bytes, rft_word(head, 24), general ? 24 : 16,
                                    general ? 8 : 0};
    }
    return entries->count > 0 && entries->count <= ENTRIES_MAX;
}

/* The value of a key that is a short ASCII name. */
static rft_address lookup(struct rft_runtime *runtime, rft_address dict, const char *name)
{
    struct entries entries;
    size_t length = strlen(name), prefix = runtime->layout.str_ascii_size;
    if (!find_entries(runtime, dict, &entries) || prefix + length + 1 > KEY_BYTES) {
        return 0;
    }
    rft_address found = 0;
    unsigned char *table = malloc((size_t)entries.count * entries.size);
    unsigned char *names = malloc((size_t)entries.count * KEY_BYTES);
    struct rft_read *reads = calloc((size_t)entries.count, sizeof *reads);
    if (table && names && reads &&
        rft_space_try(runtime->space, entries.start, table, (size_t)entries.count * entries.size)) {
        for (size_t i = 0; i < entries.count; i++) {
            reads[i].address = rft_word(table, i * entries.size + entries.key);
            reads[i].buffer = names + i * KEY_BYTES;
            reads[i].size = prefix + length + 1;
        }
        rft_space_read_many(runtime->space, reads, (size_t)entries.count);
        for (size_t i = 0; i < entries.count && !found; i++) {
            const unsigned char *key = reads[i].buffer;
            if (reads[i].done && rft_word(key, rft_at(runtime, RFT_STR_LENGTH)) == length &&
                !memcmp(key + prefix, name, length + 1)) {
                found = rft_word(table, i * entries.size + entries.key + 8);
            }
        }
    }
    free(table);
    free(names);
    free(reads);
    return found;
}

static rft_address sys_value(struct rft_runtime *runtime, rft_address interpreter, const char *name)
{
    uint64_t dict;
    if (!rft_read_field(runtime, interpreter, RFT_INTERP_SYSDICT, &dict) || !dict) {
        return 0;
    }
    return lookup(runtime, dict, name);
}

uint32_t rft_sys_hexversion(struct rft_runtime *runtime, rft_address interpreter)
{
    rft_address value = sys_value(runtime, interpreter, "hexversion");
    uint64_t tag;
    int32_t digit;
    if (!value || !rft_read_field(runtime, value, RFT_LONG_TAG, &tag) ||
        !rft_read_int(runtime, value + rft_at(runtime, RFT_LONG_DIGIT), &digit)) {
        return 0;
    }
    /* One digit of 30 bits, positive: 0x030f02f0 is less than 2**30. */
    uint64_t one = runtime->minor >= 12 ? 1u << 3 : 1;
    return tag == one && digit >> 24 == 3 ? (uint32_t)digit : 0;
}

bool rft_sys_abiflag(struct rft_runtime *runtime, rft_address interpreter, char flag)
{
    rft_address value = sys_value(runtime, interpreter, "abiflags");
    struct rft_strbuf text = {0};
    bool found = value && rft_append_str(runtime, value, 16, &text) &&
                 strchr(rft_strbuf_text(&text), flag) != NULL;
    rft_strbuf_deinit(&text);
    return found;
}

/* --- is it a runtime? ------------------------------------------------------------------ */

/* Interpreters and threads of each that are looked at before a runtime is believed. */
enum { LOOK_AT_MOST = 64 };

static bool plausible_threads(struct rft_runtime *runtime, rft_address interpreter)
{
    uint64_t thread;
    if (!rft_read_field(runtime, interpreter, RFT_INTERP_THREADS, &thread)) {
        return false;
    }
    for (unsigned i = 0; thread && i < LOOK_AT_MOST; i++) {
        uint64_t owner;
        if (!rft_read_field(runtime, thread, RFT_THREAD_INTERP, &owner) || owner != interpreter ||
            !rft_read_field(runtime, thread, RFT_THREAD_NEXT, &thread)) {
            return false;
        }
    }
    return true;
}

bool rft_runtime_plausible(struct rft_runtime *runtime, rft_address *main)
{
    uint64_t head, first, id;
    *main = 0;
    if (!rft_read_field(runtime, runtime->address, RFT_RUNTIME_INTERPRETERS, &head) ||
        !rft_read_field(runtime, runtime->address, RFT_RUNTIME_MAIN, &first)) {
        return false;
    }
    if (!head || !first) {
        return head == first;
    }
    if (head % 8 || first % 8 || !rft_read_field(runtime, first, RFT_INTERP_ID, &id) || id != 0) {
        return false;
    }
    /* All of the list, or as much as is enough; the threads of any may change meanwhile, those
     * of one must hold. */
    rft_address interpreter = head;
    bool met = false, threads = false;
    for (unsigned i = 0; interpreter && i < LOOK_AT_MOST && !(met && threads); i++) {
        met = met || interpreter == first;
        threads = threads || plausible_threads(runtime, interpreter);
        if (!rft_read_field(runtime, interpreter, RFT_INTERP_NEXT, &interpreter)) {
            return false;
        }
    }
    *main = first;
    return threads || plausible_threads(runtime, first);
}
