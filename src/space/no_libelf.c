/* In the place of core_parse.c and image_file.c, in a build without libelf: no cores, and a
 * live process' runtime is found by what is in its memory (find.c), not in its files. */
#include "space/core.h"
#include "space/image.h"

struct rft_error *rft_core_parse(struct rft_core_space *core, const char *path)
{
    (void)core;
    return rft_error_format(RFT_ERROR_UNSUPPORTED,
                            "reading core %s: this reftracer was built without libelf, which it "
                            "needs for that; install libelf with its headers (libelf-dev, "
                            "elfutils-libelf-devel) and build it again",
                            path);
}

rft_address rft_image_file_symbol(struct rft_space *space, const struct rft_image *image,
                                  const char *name)
{
    (void)space, (void)image, (void)name;
    return 0;
}

rft_address rft_image_section(struct rft_space *space, const struct rft_image *image,
                              const char *name, size_t *size)
{
    (void)space, (void)image, (void)name, (void)size;
    return 0;
}
