/* Objects that are installed with the command. */
#ifndef RFT_LATE_INSTALLED_H
#define RFT_LATE_INSTALLED_H

/* The path of one, resolved, wherever this command may have been built or installed; the caller
 * frees it. NULL: it is in no such place. */
char *rft_installed(const char *file);

#endif
