#include "report/path.h"

#include <inttypes.h>
#include <string.h>

enum {
    LABEL_MOST = 60, /* bytes of a key or name that are shown */
    STEPS_MOST = 12, /* of a path that is shown short: a longer one has */
    STEPS_FIRST = 4, /* so many of its first steps, */
    STEPS_LAST = 6,  /* and of its last */
};

static const char *const edge_names[] = {
    [RFT_EDGE_REFERENCE] = "reference",
    [RFT_EDGE_ATTRIBUTE] = "attribute",
    [RFT_EDGE_DICT_KEY] = "dict_key",
    [RFT_EDGE_DICT_VALUE] = "dict_value",
    [RFT_EDGE_ITEM] = "item",
    [RFT_EDGE_MEMBER] = "member",
    [RFT_EDGE_CELL] = "cell",
    [RFT_EDGE_LOCAL] = "local",
    [RFT_EDGE_STACK] = "stack",
    [RFT_EDGE_CLOSURE] = "closure",
    [RFT_EDGE_GLOBALS] = "globals",
    [RFT_EDGE_FUNCTION] = "function",
    [RFT_EDGE_SELF] = "self",
    [RFT_EDGE_CALLBACK] = "callback",
    [RFT_EDGE_TYPE] = "type",
    [RFT_EDGE_TYPE_SLOT] = "type_slot",
    [RFT_EDGE_MODULE_STATE] = "module_state",
    [RFT_EDGE_FRAME] = "frame",
    [RFT_EDGE_EXCEPTION] = "exception",
    [RFT_EDGE_DEFAULT] = "default",
    [RFT_EDGE_CODE] = "code",
    [RFT_EDGE_DESCRIPTOR] = "descriptor",
    [RFT_EDGE_LEFT_OUT] = "left_out",
};

_Static_assert(sizeof edge_names / sizeof edge_names[0] == RFT_EDGE_COUNT,
               "each kind of reference has its name");

static const char *const root_names[] = {
    [RFT_ROOT_MODULE - RFT_ROOT_MODULE] = "module",
    [RFT_ROOT_LOCAL - RFT_ROOT_MODULE] = "frame_local",
    [RFT_ROOT_STACK - RFT_ROOT_MODULE] = "frame_stack",
    [RFT_ROOT_BUILTINS - RFT_ROOT_MODULE] = "builtins",
    [RFT_ROOT_SYS - RFT_ROOT_MODULE] = "sys",
    [RFT_ROOT_INTERPRETER - RFT_ROOT_MODULE] = "interpreter",
    [RFT_ROOT_THREAD - RFT_ROOT_MODULE] = "thread",
    [RFT_ROOT_STATIC_TYPE - RFT_ROOT_MODULE] = "static_type",
    [RFT_ROOT_ATEXIT - RFT_ROOT_MODULE] = "atexit",
    [RFT_ROOT_C - RFT_ROOT_MODULE] = "c",
    [RFT_ROOT_INTERNED - RFT_ROOT_MODULE] = "interned",
    [RFT_ROOT_GARBAGE - RFT_ROOT_MODULE] = "garbage",
};

_Static_assert(sizeof root_names / sizeof root_names[0] == RFT_ROOT_END - RFT_ROOT_MODULE,
               "each kind of root has its name");

const char *path_kind_name(uint32_t kind)
{
    if (kind < RFT_EDGE_COUNT)
        return edge_names[kind];
    if (kind >= RFT_ROOT_MODULE && kind < RFT_ROOT_END)
        return root_names[kind - RFT_ROOT_MODULE];
    return "reference";
}

/* Not in the middle of a character. */
static void add_label(struct rft_strbuf *to, const char *label)
{
    size_t length = strlen(label);
    if (length <= LABEL_MOST) {
        rft_strbuf_add(to, label);
        return;
    }
    length = LABEL_MOST - 3;
    while (length > 0 && ((unsigned char)label[length] & 0xc0) == 0x80)
        length--;
    rft_strbuf_add_bytes(to, label, length);
    rft_strbuf_add(to, "...");
}

static void add_attribute(struct rft_strbuf *to, const char *name)
{
    rft_strbuf_add_char(to, '.');
    add_label(to, name ? name : "*");
}

/* A key as it stands in brackets: the trace has the text of a str and the repr of others. */
static void add_key(struct rft_strbuf *to, const char *key)
{
    if (!key) {
        rft_strbuf_add(to, "[*]");
        return;
    }
    size_t digits = strspn(key, "-0123456789"), length = strlen(key);
    /* A number, or what has only a type: <tuple>. */
    bool bare = *key && (!key[digits] || (key[0] == '<' && key[length - 1] == '>'));
    rft_strbuf_add(to, bare ? "[" : "['");
    add_label(to, key);
    rft_strbuf_add(to, bare ? "]" : "']");
}

/* "→ word NAME": a reference that Python has no operator for. */
static void add_word(struct rft_strbuf *to, const char *arrow, const char *word, const char *name)
{
    rft_strbuf_format(to, " %s %s", arrow, word);
    if (name) {
        rft_strbuf_add_char(to, ' ');
        add_label(to, name);
    }
}

static void add_exception(struct rft_strbuf *to, const char *what)
{
    bool dunder =
        what && (!strcmp(what, "traceback") || !strcmp(what, "context") || !strcmp(what, "cause"));
    if (dunder)
        rft_strbuf_format(to, ".__%s__", what);
    else
        add_attribute(to, what);
}

static void add_step(struct rft_strbuf *to, const struct rft_step *step, const char *arrow)
{
    switch (step->kind) {
    case RFT_EDGE_ATTRIBUTE:
        add_attribute(to, step->label);
        break;
    case RFT_EDGE_DICT_VALUE:
        add_key(to, step->label);
        break;
    case RFT_EDGE_DICT_KEY:
        add_word(to, arrow, "key", NULL);
        break;
    case RFT_EDGE_ITEM:
        if (step->index == RFT_NEVER)
            rft_strbuf_add(to, "[*]");
        else
            rft_strbuf_format(to, "[%" PRIu64 "]", step->index);
        break;
    case RFT_EDGE_MEMBER:
        add_word(to, arrow, "member", NULL);
        break;
    case RFT_EDGE_CELL:
        /* A cell of its own, or a function's variable: both are called by it. */
        add_word(to, arrow, step->label ? "variable" : "cell", step->label);
        break;
    case RFT_EDGE_LOCAL:
        add_word(to, arrow, "local", step->label);
        break;
    case RFT_EDGE_STACK:
        add_word(to, arrow, "value stack", NULL);
        break;
    case RFT_EDGE_CLOSURE:
        add_word(to, arrow, "closure", step->label);
        break;
    case RFT_EDGE_GLOBALS:
        rft_strbuf_add(to, ".__globals__");
        break;
    case RFT_EDGE_FUNCTION:
        rft_strbuf_add(to, ".__func__");
        break;
    case RFT_EDGE_SELF:
        rft_strbuf_add(to, ".__self__");
        break;
    case RFT_EDGE_CALLBACK:
        rft_strbuf_add(to, ".__callback__");
        break;
    case RFT_EDGE_TYPE:
        rft_strbuf_add(to, ".__class__");
        break;
    case RFT_EDGE_TYPE_SLOT:
    case RFT_EDGE_DESCRIPTOR:
    case RFT_EDGE_DEFAULT:
    case RFT_EDGE_CODE:
        /* Names of Python's, or a word of ours. */
        if (step->label && !strchr(step->label, ' '))
            add_attribute(to, step->label);
        else
            add_word(to, arrow, step->label ? step->label : path_kind_name(step->kind), NULL);
        break;
    case RFT_EDGE_MODULE_STATE:
        add_word(to, arrow, "C state of the module", NULL);
        break;
    case RFT_EDGE_FRAME:
        add_word(to, arrow, "suspended local", step->label);
        break;
    case RFT_EDGE_EXCEPTION:
        add_exception(to, step->label);
        break;
    case RFT_EDGE_LEFT_OUT:
        rft_strbuf_format(to, " %s ...", arrow);
        if (step->index != RFT_NEVER)
            rft_strbuf_format(to, " %" PRIu64 " steps ...", step->index);
        break;
    default: /* add_steps says what kind of object it leads to */
        add_word(to, arrow, "unnamed", NULL);
        break;
    }
}

/* What the step leads to, where the step itself is no name for it: what follows is an
 * attribute or item of that. */
static void add_object(struct rft_strbuf *to, const struct rft_path *path, uint32_t step)
{
    const char *next = step + 1 < path->count ? path->steps[step + 1].type : NULL;
    rft_strbuf_format(to, " %s", next ? next : "reference");
}

/* The root; true if it has no name that what follows could be an attribute of. */
static bool add_root(struct rft_strbuf *to, const struct rft_step *root)
{
    const char *label = root->label ? root->label : "?";
    switch (root->kind) {
    case RFT_ROOT_MODULE:
        add_label(to, label);
        return false;
    case RFT_ROOT_BUILTINS:
        rft_strbuf_add(to, "builtins");
        return false;
    case RFT_ROOT_SYS:
        rft_strbuf_add(to, "sys");
        return false;
    case RFT_ROOT_LOCAL:
        rft_strbuf_format(to, "local of %s: ", root->detail ? root->detail : "running functions");
        add_label(to, label);
        return false;
    case RFT_ROOT_STATIC_TYPE:
        rft_strbuf_add(to, "type ");
        add_label(to, label);
        return false;
    case RFT_ROOT_STACK:
        rft_strbuf_format(to, "value stack of %s", root->detail ? root->detail : "a function");
        return true;
    case RFT_ROOT_INTERPRETER:
        rft_strbuf_add(to, "interpreter: ");
        add_label(to, label);
        return true;
    case RFT_ROOT_THREAD:
        rft_strbuf_format(to, "thread %s: ", root->detail ? root->detail : "?");
        add_label(to, label);
        return true;
    case RFT_ROOT_ATEXIT:
        rft_strbuf_add(to, "atexit");
        return true;
    case RFT_ROOT_C:
        rft_strbuf_add(to, "C code");
        return true;
    case RFT_ROOT_INTERNED:
        rft_strbuf_add(to, "interned strings");
        return true;
    case RFT_ROOT_GARBAGE:
        rft_strbuf_add(to, "garbage that is not collected yet");
        return true;
    default:
        rft_strbuf_add(to, label);
        return true;
    }
}

/* Steps that the repetition, which ends at number `end`, began at. */
static bool repetition_begins(const struct rft_path *path, uint32_t at)
{
    for (uint32_t end = at; end < path->count && end < at + 4; end++)
        if (path->steps[end].repeats && path->steps[end].repeats == end - at + 1)
            return true;
    return false;
}

static void add_steps(struct rft_strbuf *to, const struct rft_path *path, uint32_t from,
                      struct path_style style)
{
    bool shorten = !style.whole && path->count > STEPS_MOST;
    bool open = false;
    for (uint32_t i = from; i < path->count; i++) {
        if (shorten && i == STEPS_FIRST && !open) {
            i = path->count - STEPS_LAST;
            rft_strbuf_format(to, " %s ... %s ", style.arrow, style.arrow);
            if (path->steps[i].type)
                rft_strbuf_add(to, path->steps[i].type);
        }
        if (repetition_begins(path, i)) {
            rft_strbuf_add_char(to, '(');
            open = true;
        }
        add_step(to, &path->steps[i], style.arrow);
        uint32_t kind = path->steps[i].kind;
        if (kind == RFT_EDGE_LEFT_OUT)
            rft_strbuf_format(to, " %s", style.arrow);
        if (kind == RFT_EDGE_LEFT_OUT || kind == RFT_EDGE_REFERENCE || kind >= RFT_EDGE_COUNT)
            add_object(to, path, i);
        if (path->steps[i].repeats && open) {
            rft_strbuf_add(to, ")*");
            open = false;
        }
    }
}

void path_text(struct rft_strbuf *to, const struct rft_path *path, struct path_style style)
{
    if (!path->count)
        return;
    if (path->count == 1 && path->steps[0].kind == RFT_ROOT_C) {
        rft_strbuf_add(to, "C code alone");
        return;
    }
    bool nameless = add_root(to, &path->steps[0]);
    if (nameless && path->count > 1 && path->steps[1].kind != RFT_EDGE_LEFT_OUT)
        rft_strbuf_format(to, " %s %s", style.arrow,
                          path->steps[1].type ? path->steps[1].type : "?");
    add_steps(to, path, 1, style);
}

void path_cycle(struct rft_strbuf *to, const struct rft_path *path, struct path_style style)
{
    if (!path->count)
        return;
    const char *type = path->steps[0].type ? path->steps[0].type : "?";
    rft_strbuf_add(to, type);
    add_steps(to, path, 0, style);
    rft_strbuf_format(to, " %s the first %s", style.arrow, type);
}

void path_types(struct rft_strbuf *to, const struct rft_path *path)
{
    const char *last = NULL;
    for (uint32_t i = 0; i < path->count; i++) {
        const char *type = path->steps[i].type;
        if (!type || (last && !strcmp(type, last)))
            continue;
        if (last)
            rft_strbuf_add(to, ", ");
        rft_strbuf_add(to, type);
        last = type;
    }
}
