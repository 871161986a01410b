/* Traces are read the same way by each command: with progress on the terminal
 * if it takes long, and a word about each file that is not whole. */
#ifndef RFT_CLI_READING_H
#define RFT_CLI_READING_H

#include "analyze/model.h"

/* Reads and merges traces. Returns EXIT_FINE, or an exit code after having said
 * what is wrong. *model is to be given to rft_model_destroy(). */
int read_model(const char *command, const char *const *paths, size_t count,
               struct rft_model **model);

#endif
