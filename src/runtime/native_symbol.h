/* What function, file and line an instruction is of. */
#ifndef RFT_RUNTIME_NATIVE_SYMBOL_H
#define RFT_RUNTIME_NATIVE_SYMBOL_H

#include "late/libdw.h"
#include "runtime/native_unwind.h"

struct rft_symbols;

/* dwfl: borrowed, must outlive the symbols. NULL without memory. */
struct rft_symbols *rft_symbols_create(Dwfl *dwfl);
void rft_symbols_destroy(struct rft_symbols *symbols);

/* Never NULL. */
const struct rft_symbol *rft_symbols_find(struct rft_symbols *symbols, rft_address instruction);

/* Dwfl_Callbacks.find_debuginfo: separate debug files of this machine, by build id. Nothing is
 * asked of any server, whatever the environment says: a look at a process must not wait for a
 * network. */
int rft_symbols_find_debuginfo(Dwfl_Module *module, void **userdata, const char *name,
                               Dwarf_Addr base, const char *file, const char *link,
                               GElf_Word checksum, char **found);

#endif
