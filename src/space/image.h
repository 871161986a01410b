/* The ELF objects that are mapped into a space: the executable and its libraries. */
#ifndef RFT_SPACE_IMAGE_H
#define RFT_SPACE_IMAGE_H

#include "space/ops.h"

struct rft_image {
    const struct rft_map *first; /* the map that has the ELF header */
    size_t maps;                 /* that follow `first` and belong to the same file, it included */
    const char *path;
    bool likely;         /* its name says that a Python is in there */
    uint64_t bias;       /* what is added to an address of the file */
    rft_address dynamic; /* PT_DYNAMIC; 0: none */
    size_t dynamic_size;
};

/* Images in the order in which a Python is likely to be in them: the executable, libpython,
 * other names with "python", the rest. The caller frees *images. Their pointers are into
 * the list of maps and become void with its next reading. */
struct rft_error *rft_images_list(struct rft_space *space, struct rft_image **images,
                                  size_t *count);

/* Fills in bias and dynamic from the ELF header in memory; false if there is none. */
bool rft_image_read_header(struct rft_space *space, struct rft_image *image);

/* Address of a dynamic symbol, by the object's hash table in memory. 0: none. */
rft_address rft_image_dynamic_symbol(struct rft_space *space, const struct rft_image *image,
                                     const char *name);

/* The same from the file's own symbol table, which strip removes. */
rft_address rft_image_file_symbol(struct rft_space *space, const struct rft_image *image,
                                  const char *name);

/* Address and size of a section, from the file's section headers. 0: none. */
rft_address rft_image_section(struct rft_space *space, const struct rft_image *image,
                              const char *name, size_t *size);

#endif
