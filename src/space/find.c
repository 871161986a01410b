/* Where _PyRuntime may be. */
#include <stdlib.h>
#include <string.h>

#include "space/image.h"

static const char symbol[] = "_PyRuntime";
static const char section[] = ".PyRuntime";
/* First bytes of _Py_DebugOffsets, 3.13+. */
static const char cookie[8] = {'x', 'd', 'e', 'b', 'u', 'g', 'p', 'y'};

/* Scans read this much at a time, and at most so much in all: a process of 100 GiB is not
 * read through. */
enum { SCAN_STEP = 1 << 20, SCAN_LEAST = 4096 };
/* So far beyond a step the beginning of a _PyRuntime reaches that lies in its last word. */
enum { SCAN_BEHIND = 16 };
#define SCAN_MAX ((uint64_t)4 << 30)
/* Places that look like a _PyRuntime without a cookie. */
enum { PLACES_MAX = 1 << 16 };

struct place {
    rft_address address;
    const char *path;
};

struct search {
    struct rft_space *space;
    bool (*accept)(void *, const struct rft_candidate *);
    void *context;
    struct rft_image *images;
    size_t count;
    /* The space's maps are ours while we search: `accept` may look at the space's itself. */
    RFT_VEC(struct rft_map) maps;
    struct rft_arena paths;
    uint64_t scanned, scan_max;
    unsigned char *buffer; /* SCAN_STEP + SCAN_BEHIND bytes */
    RFT_VEC(struct place) places;
};

static bool offer(struct search *search, rft_address address, const char *how, const char *path)
{
    struct rft_candidate candidate = {address, how, path};
    return address && search->accept(search->context, &candidate);
}

static bool by_symbol(struct search *search)
{
    for (size_t i = 0; i < search->count; i++) {
        struct rft_image *image = &search->images[i];
        if (rft_image_read_header(search->space, image)) {
            if (offer(search, rft_image_dynamic_symbol(search->space, image, symbol), "symbol",
                      image->path))
                return true;
        }
    }
    return false;
}

/* In files whose names say Python, or in the others. */
static bool by_file(struct search *search, bool likely)
{
    for (size_t i = 0; i < search->count; i++) {
        struct rft_image *image = &search->images[i];
        size_t size;
        if (image->likely != likely || !rft_image_read_header(search->space, image))
            continue;
        if (offer(search, rft_image_file_symbol(search->space, image, symbol), "symbol table",
                  image->path) ||
            offer(search, rft_image_section(search->space, image, section, &size), "section",
                  image->path))
            return true;
    }
    return false;
}

/* Memory that the program writes to: data of an object (a file's private, writable map, or
 * the anonymous one right behind it, its .bss). */
static bool is_data(const struct rft_map *maps, size_t i)
{
    if (maps[i].path[0] == '/')
        return true;
    return !maps[i].path[0] && i > 0 && maps[i - 1].path[0] == '/' &&
           maps[i - 1].end == maps[i].start;
}

/* How _PyRuntime begins up to 3.12, where there is no cookie, from the core's initialization on
 * (pycore_runtime.h): five ints in 3.11 and 3.12 (_initialized, preinitializing, preinitialized,
 * core_initialized, initialized), the last four of these before. */
static bool may_begin_here(const unsigned char *bytes)
{
    int32_t flags[5];
    memcpy(flags, bytes, sizeof flags);
    if (flags[0] == 0)
        return flags[1] == 1 && flags[2] == 1 && (flags[3] == 0 || flags[3] == 1);
    return flags[0] == 1 && flags[1] == 0 && flags[2] == 1 && flags[3] == 1 &&
           (flags[4] == 0 || flags[4] == 1);
}

/* Looks at the words of the first `size` bytes, behind which `behind` further ones are known. */
static bool scan_bytes(struct search *search, rft_address at, size_t size, size_t behind,
                       const char *how, const char *path)
{
    for (size_t i = 0; i + sizeof cookie <= size; i += 8) {
        const unsigned char *bytes = search->buffer + i;
        if (!memcmp(bytes, cookie, sizeof cookie)) {
            if (offer(search, at + i, how, path))
                return true;
        } else if (size + behind - i >= 20 && may_begin_here(bytes) &&
                   search->places.count < PLACES_MAX) {
            /* Without memory for it, this place is not tried. */
            (void)rft_vec_push(&search->places, ((struct place){at + i, path}));
        }
    }
    return false;
}

/* Goes through memory by steps; where one can't be read as a whole, by smaller ones: part of it may
 * lie beyond the end of the mapped file. */
static bool scan_memory(struct search *search, rft_address at, rft_address end, const char *how,
                        const char *path)
{
    size_t step = SCAN_STEP;
    while (at < end && search->scanned < search->scan_max) {
        size_t size = end - at < step ? (size_t)(end - at) : step;
        size_t behind = end - at - size < SCAN_BEHIND ? 0 : SCAN_BEHIND;
        if (behind && !rft_space_try(search->space, at, search->buffer, size + behind))
            behind = 0;
        if (behind || rft_space_try(search->space, at, search->buffer, size)) {
            if (scan_bytes(search, at, size, behind, how, path))
                return true;
            step = SCAN_STEP;
        } else if (size > SCAN_LEAST) {
            step = (size / 2 + SCAN_LEAST - 1) / SCAN_LEAST * SCAN_LEAST;
            continue;
        }
        search->scanned += size;
        at += size;
    }
    return false;
}

/* A core may have terabytes of maps and next to nothing in them. */
static bool scan_map(struct search *search, const struct rft_map *map, const char *how)
{
    if (!search->space->ops->find_present)
        return scan_memory(search, map->start, map->end, how, map->path);
    rft_address at = map->start, end = map->end;
    while (search->space->ops->find_present(search->space, &at, &end)) {
        if (scan_memory(search, at, end, how, map->path))
            return true;
        at = end;
        end = map->end;
    }
    return false;
}

/* All memory that is written to: first what belongs to objects, then the rest. */
static bool by_scan(struct search *search)
{
    for (int rest = 0; rest < (search->space->search_less ? 1 : 2); rest++) {
        for (size_t i = 0; i < search->maps.count; i++) {
            const struct rft_map *map = &search->maps.items[i];
            if (map->readable && map->writable && is_data(search->maps.items, i) == !rest &&
                scan_map(search, map, rest ? "cookie in memory" : "cookie in data"))
                return true;
        }
        for (size_t i = 0; i < search->places.count; i++) {
            if (offer(search, search->places.items[i].address, "scan",
                      search->places.items[i].path))
                return true;
        }
        search->places.count = 0;
    }
    return false;
}

bool rft_space_find_runtime(struct rft_space *space,
                            bool (*accept)(void *context, const struct rft_candidate *candidate),
                            void *context)
{
    struct search search = {.space = space, .accept = accept, .context = context};
    if (space->runtime)
        return offer(&search, space->runtime, "given", "");
    struct rft_error *error = rft_images_list(space, &search.images, &search.count);
    if (error) {
        rft_error_destroy(error);
        return false;
    }
    search.scan_max = space->size && space->size < SCAN_MAX ? space->size : SCAN_MAX;
    search.maps.items = space->maps.items;
    search.maps.count = space->maps.count;
    search.paths = space->map_paths;
    space->maps.items = NULL;
    space->maps.count = space->maps.capacity = 0;
    space->maps_at = 0;
    space->map_paths = (struct rft_arena){0};

    bool found = by_symbol(&search) || by_file(&search, true);
    if (!found && (search.buffer = malloc(SCAN_STEP + SCAN_BEHIND)))
        found = by_scan(&search) || by_file(&search, false);
    free(search.buffer);
    rft_vec_free(&search.places);
    rft_vec_free(&search.maps);
    rft_arena_deinit(&search.paths);
    free(search.images);
    return found;
}

void rft_space_search_less(struct rft_space *space)
{
    space->search_less = true;
}

rft_address rft_space_symbol(struct rft_space *space, const char *object, const char *name)
{
    struct rft_image *images;
    size_t count;
    struct rft_error *error = rft_images_list(space, &images, &count);
    if (error) {
        rft_error_destroy(error);
        return 0;
    }
    rft_address found = 0;
    for (int file = 0; file < 2 && !found; file++) {
        for (size_t i = 0; i < count && !found; i++) {
            /* Opening the files of a hundred libraries takes longer than all else: if the object is
             * not named, those that are no Python by their names are left out. */
            if ((object ? !strstr(images[i].path, object) : file && !images[i].likely) ||
                !rft_image_read_header(space, &images[i]))
                continue;
            found = file ? rft_image_file_symbol(space, &images[i], name)
                         : rft_image_dynamic_symbol(space, &images[i], name);
        }
    }
    free(images);
    return found;
}

rft_address rft_space_section(struct rft_space *space, const char *name, size_t *size)
{
    struct rft_image *images;
    size_t count;
    *size = 0;
    struct rft_error *error = rft_images_list(space, &images, &count);
    if (error) {
        rft_error_destroy(error);
        return 0;
    }
    rft_address found = 0;
    for (size_t i = 0; i < count && !found; i++) {
        if (rft_image_read_header(space, &images[i]))
            found = rft_image_section(space, &images[i], name, size);
    }
    free(images);
    return found;
}
