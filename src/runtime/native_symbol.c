#include "runtime/native_symbol.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/index.h"
#include "base/text.h"

enum { BUILD_ID_MAX = 64 };

struct found {
    rft_address instruction;
    struct rft_symbol *symbol;
};

struct rft_symbols {
    Dwfl *dwfl;
    struct rft_index index;
    RFT_VEC(struct found) all;
    struct rft_arena texts;
    struct rft_strbuf text;
    struct rft_symbol unknown;
};

struct rft_symbols *rft_symbols_create(Dwfl *dwfl)
{
    struct rft_symbols *symbols = calloc(1, sizeof *symbols);
    if (symbols) {
        symbols->dwfl = dwfl;
        symbols->unknown = (struct rft_symbol){.function = "", .file = "", .column = -1};
    }
    return symbols;
}

void rft_symbols_destroy(struct rft_symbols *symbols)
{
    if (!symbols)
        return;
    rft_index_deinit(&symbols->index);
    rft_vec_free(&symbols->all);
    rft_arena_deinit(&symbols->texts);
    rft_strbuf_deinit(&symbols->text);
    free(symbols);
}

static const char *clean(struct rft_symbols *symbols, const char *text)
{
    rft_strbuf_clear(&symbols->text);
    rft_text_clean(&symbols->text, text, strlen(text));
    const char *copy = symbols->text.failed
                           ? NULL
                           : rft_arena_copy(&symbols->texts, rft_strbuf_text(&symbols->text),
                                            symbols->text.length);
    symbols->text.failed = false;
    return copy ? copy : "";
}

static void describe(struct rft_symbols *symbols, rft_address instruction, struct rft_symbol *out)
{
    Dwfl_Module *module = dwfl_addrmodule(symbols->dwfl, instruction);
    *out = symbols->unknown;
    if (!module)
        return;
    out->in_object = true;
    const char *object = dwfl_module_info(module, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    GElf_Off offset = 0;
    GElf_Sym symbol;
    const char *name =
        dwfl_module_addrinfo(module, instruction, &offset, &symbol, NULL, NULL, NULL);
    /* Without a table of all symbols libdwfl gives the nearest one that is exported: what is
     * beyond its end is another function, whose name is not known. Hand-written code has no
     * sizes. */
    if (name && (offset < symbol.st_size || (symbol.st_size == 0 && offset < 4096)))
        out->function = clean(symbols, name);
    Dwfl_Line *line = dwfl_module_getsrc(module, instruction);
    int number = 0, column = 0;
    const char *source = line ? dwfl_lineinfo(line, NULL, &number, &column, NULL, NULL) : NULL;
    out->file = clean(symbols, source ? source : object ? object : "");
    if (source) {
        out->line = number;
        out->column = column > 0 ? column - 1 : -1;
    }
}

const struct rft_symbol *rft_symbols_find(struct rft_symbols *symbols, rft_address instruction)
{
    uint32_t at = 0, item;
    uint64_t hash = rft_hash_mix(1, instruction);
    while ((item = rft_index_probe(&symbols->index, hash, &at)) != RFT_INDEX_END) {
        if (symbols->all.items[item].instruction == instruction)
            return symbols->all.items[item].symbol;
    }
    struct found found = {instruction, rft_arena_alloc(&symbols->texts, sizeof *found.symbol)};
    if (!found.symbol)
        return &symbols->unknown;
    describe(symbols, instruction, found.symbol);
    if (rft_vec_push(&symbols->all, found) &&
        !rft_index_add(&symbols->index, hash, (uint32_t)(symbols->all.count - 1)))
        symbols->all.count--;
    return found.symbol;
}

int rft_symbols_find_debuginfo(Dwfl_Module *module, void **userdata, const char *name,
                               Dwarf_Addr base, const char *file, const char *link,
                               GElf_Word checksum, char **found)
{
    (void)userdata, (void)name, (void)base, (void)file, (void)link, (void)checksum;
    const unsigned char *id;
    GElf_Addr where;
    char path[64 + 2 * BUILD_ID_MAX];
    int size = dwfl_module_build_id(module, &id, &where);
    if (size < 2 || size > BUILD_ID_MAX)
        return -1;
    int used = snprintf(path, sizeof path, "/usr/lib/debug/.build-id/%02x/", id[0]);
    for (int i = 1; i < size; i++)
        used += snprintf(path + used, sizeof path - (size_t)used, "%02x", id[i]);
    snprintf(path + used, sizeof path - (size_t)used, ".debug");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        *found = strdup(path);
    return fd;
}
