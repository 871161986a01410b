/* Growing arrays: three plain fields that the owner keeps side by side. */
#ifndef RFT_BASE_VEC_H
#define RFT_BASE_VEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Declare an array of `type` that grows: struct { RFT_VEC(int) numbers; }. */
#define RFT_VEC(type)                                                                              \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t count, capacity;                                                                    \
    }

/* Make room for `more` further items. False without memory; the array is then
 * as it was. */
#define rft_vec_reserve(vec, more)                                                                 \
    ((vec)->capacity - (vec)->count >= (size_t)(more)                                              \
         ? true                                                                                    \
         : rft_vec_grow((void **)&(vec)->items, &(vec)->capacity, (vec)->count, (size_t)(more),    \
                        sizeof(*(vec)->items)))

/* Append one item; false without memory. */
#define rft_vec_push(vec, item)                                                                    \
    (rft_vec_reserve(vec, 1) ? ((vec)->items[(vec)->count++] = (item), true) : false)

/* The same for one of many arrays that usually have one item: there is no room for more then. */
#define rft_vec_push_one(vec, item)                                                                \
    ((vec)->capacity || ((vec)->items = malloc(sizeof *(vec)->items)) == NULL                      \
         ? rft_vec_push(vec, item)                                                                 \
         : ((vec)->capacity = 1, rft_vec_push(vec, item)))

#define rft_vec_free(vec)                                                                          \
    (free((vec)->items), (vec)->items = NULL, (vec)->count = 0, (vec)->capacity = 0, (void)0)

static inline bool rft_vec_grow(void **items, size_t *capacity, size_t count, size_t more,
                                size_t item_size)
{
    if (more > SIZE_MAX / 2 / item_size - count)
        return false;
    size_t wanted = *capacity + *capacity / 2;
    if (wanted < count + more)
        wanted = count + more;
    if (wanted < 16)
        wanted = 16;
    if (wanted > SIZE_MAX / item_size)
        return false;
    void *moved = realloc(*items, wanted * item_size);
    if (!moved)
        return false;
    *items = moved;
    *capacity = wanted;
    return true;
}

#endif
