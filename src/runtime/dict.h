/* Dicts of the target, and the attributes of its instances.
 *
 * Layouts, by the version that brought them (Include/internal/pycore_dict.h,
 * Objects/dict-common.h):
 *   3.8   keys object with dk_size; entries of hash, key and value
 *   3.11  keys object with logarithms; entries without hash where all keys are str;
 *         values of instances in an array that hangs in front of the instance
 *   3.12  one tagged pointer in front of it, to a dict or such an array
 *   3.13  the array lies inside the instance
 * In all of them a dict may be split: keys shared with its siblings, values its own. */
#ifndef RFT_RUNTIME_DICT_H
#define RFT_RUNTIME_DICT_H

#include "runtime/object.h"

/* Entries that are looked at in one dict at most. */
enum { RFT_DICT_ENTRIES_MAX = 1 << 20 };

/* A table of entries that can be read: a dict, or the values of an instance. */
struct rft_dict {
    rft_address entries;
    uint32_t entry_size, key_at, value_at;
    size_t count;       /* entries, those of deleted keys included */
    rft_address values; /* split: the values lie there; else 0 */
};

struct rft_dict_entry {
    rft_address key, value; /* 0, both: nothing there any more */
};

/* False if that is no dict, or none that makes sense. */
bool rft_dict_open(struct rft_runtime *runtime, rft_address dict, struct rft_dict *out);

/* Entries first .. first + max - 1, as far as there are any; *count: how many were read. */
bool rft_dict_read(struct rft_runtime *runtime, const struct rft_dict *dict, size_t first,
                   struct rft_dict_entry *entries, size_t max, size_t *count);

/* The value of an ASCII key of at most 63 characters. False if there is none, or if it could
 * not be found out. */
bool rft_dict_find(struct rft_runtime *runtime, const struct rft_dict *dict, const char *key,
                   rft_address *value);

/* The same for who asks again and again: *hint is where it was last time, 0 at first. */
bool rft_dict_find_again(struct rft_runtime *runtime, const struct rft_dict *dict, const char *key,
                         size_t *hint, rft_address *value);

/* An attribute that an instance has in its own dict (nothing of its class). */
bool rft_instance_attribute(struct rft_runtime *runtime, rft_address object, const char *name,
                            rft_address *value);

/* The same for who asks many instances of a class: *hint as above. */
bool rft_instance_attribute_again(struct rft_runtime *runtime, rft_address object, const char *name,
                                  size_t *hint, rft_address *value);

#endif
