/* The ELF objects that are mapped, for who reads their files. */
#include <stdlib.h>

#include "space/image.h"

struct rft_error *rft_space_objects(struct rft_space *space, struct rft_object **objects,
                                    size_t *count)
{
    struct rft_image *images;
    size_t image_count, kept = 0;
    struct rft_error *error = rft_images_list(space, &images, &image_count);
    if (error)
        return error;
    *objects = calloc(image_count ? image_count : 1, sizeof **objects);
    for (size_t i = 0; *objects && i < image_count; i++) {
        if (!rft_image_read_header(space, &images[i]))
            continue;
        const struct rft_map *first = images[i].first, *last = first + images[i].maps - 1;
        (*objects)[kept++] = (struct rft_object){
            .path = images[i].path,
            .start = first->start,
            .end = last->end,
            .bias = images[i].bias,
            .map = first,
        };
    }
    free(images);
    if (!*objects)
        return rft_error_no_memory();
    *count = kept;
    return NULL;
}

int rft_space_open_object(struct rft_space *space, const struct rft_object *object)
{
    return space->ops->open_mapped ? space->ops->open_mapped(space, object->map) : -1;
}
