/* What the command line names, opened and looked at. */
#include "cli/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/commands.h"
#include "trace/format.h"

enum {
    BETWEEN_LOOKS_MS = 10,
};

/* --- Pythons that are none of ours --------------------------------------------------- */

/* Whether a file's name is that of a Python that can't be inspected: "python2.7",
 * "libpython3.6m.so.1.0", "pypy3.10". Writes which. */
static bool is_other_python(const char *path, char *which, size_t size)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (strncmp(name, "pypy", 4) == 0 || strncmp(name, "libpypy", 7) == 0) {
        snprintf(which, size, "PyPy");
        return true;
    }
    if (strncmp(name, "python", 6) != 0 && strncmp(name, "libpython", 9) != 0)
        return false;
    unsigned major = 0, minor = 0;
    const char *digits = strstr(name, "python") + 6;
    int numbers = sscanf(digits, "%2u.%2u", &major, &minor);
    if (numbers < 1 || major < 2 || major > 3 || (major == 3 && (numbers < 2 || minor >= 8)))
        return false;
    if (numbers == 2)
        snprintf(which, size, "Python %u.%u", major, minor);
    else
        snprintf(which, size, "Python %u", major);
    return true;
}

static bool is_other_process(int pid, char *which, size_t size)
{
    char path[64], line[PATH_MAX + 128];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t length = readlink(path, line, sizeof line - 1);
    if (length > 0) {
        line[length] = '\0';
        if (is_other_python(line, which, size))
            return true;
    }
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    bool is = false;
    while (maps != NULL && !is && fgets(line, sizeof line, maps) != NULL) {
        const char *file = strchr(line, '/');
        is = file != NULL && is_other_python(file, which, size);
    }
    if (maps != NULL)
        fclose(maps);
    return is;
}

/* "python3.12": up to 3.12 there is nothing to be seen before main() has made the interpreter, nor
 * after it is gone. */
static bool is_python_by_name(const struct inspect_target *target)
{
    const char *path = rft_space_facts(target->space)->executable;
    const char *slash = strrchr(path, '/');
    return strncmp(slash != NULL ? slash + 1 : path, "python3", 7) == 0;
}

/* A better word for "there is no CPython in it". */
static struct rft_error *explain(struct rft_error *error, const struct inspect_target *target)
{
    char which[32];
    bool other = false;
    if (error->code != RFT_ERROR_NOT_PYTHON)
        return error;
    if (target->core != NULL) {
        other = is_other_python(rft_space_facts(target->space)->executable, which, sizeof which);
    } else {
        char folder[64];
        snprintf(folder, sizeof folder, "/proc/%d", target->pid);
        if (access(folder, F_OK) != 0) {
            rft_error_destroy(error);
            return rft_error_os(ESRCH, "looking at process %d: it has just ended", target->pid);
        }
        other = is_other_process(target->pid, which, sizeof which);
    }
    if (!other && is_python_by_name(target) && rft_space_facts(target->space)->missing[0] == '\0') {
        struct rft_error *better = rft_error_format(
            RFT_ERROR_NOT_PYTHON, "%s, which is a Python by its name: %s", error->message,
            target->core == NULL
                ? "has it only just been started, or is it about to end? Then look again"
                : "if it had not only just started, the core lacks the process' memory "
                  "(/proc/PID/coredump_filter; usual is 0x33)");
        rft_error_destroy(error);
        return better;
    }
    if (!other)
        return error;
    rft_error_destroy(error);
    if (target->core != NULL)
        return rft_error_format(RFT_ERROR_UNSUPPORTED,
                                "looking at core %s: it is of a %s, by its name; what can be "
                                "inspected is CPython 3.8 to 3.15",
                                target->core, which);
    return rft_error_format(RFT_ERROR_UNSUPPORTED,
                            "looking at process %d: it is a %s, by its name; what can be "
                            "inspected is CPython 3.8 to 3.15",
                            target->pid, which);
}

/* --- opening --------------------------------------------------------------------------- */

static struct rft_error *find_runtime(struct inspect_target *target)
{
    struct rft_error *error = rft_runtime_create(target->space, &target->runtime);
    if (error == NULL)
        return NULL;
    target->runtime = NULL;
    return explain(error, target);
}

static bool is_zombie(int pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        close(fd);
    text[size > 0 ? size : 0] = '\0';
    const char *name_end = strrchr(text, ')'); /* the name may hold anything */
    return name_end != NULL && strncmp(name_end, ") Z", 3) == 0;
}

struct rft_error *inspect_open_process(int pid, struct inspect_target *target)
{
    target->pid = pid;
    struct rft_error *error = rft_space_create_process(pid, &target->space);
    if (error != NULL) {
        target->space = NULL;
        if (error->os_errno != ESRCH || !is_zombie(pid))
            return error;
        rft_error_destroy(error);
        return rft_error_format(RFT_ERROR_UNMAPPED,
                                "looking at process %d: it is a zombie: it has ended, has no "
                                "memory any more and only waits for its parent to take note",
                                pid);
    }
    return find_runtime(target);
}

/* What can be said of a file before it is read: opening a pipe would wait for its other
 * end, and a trace is a likely mistake. */
static struct rft_error *check_file(const char *name, const char *printable)
{
    struct stat about;
    if (stat(name, &about) != 0)
        return rft_error_os(errno, "reading core %s", printable);
    if (S_ISDIR(about.st_mode))
        return rft_error_format(RFT_ERROR_NOT_CORE, "reading core %s: it is a folder", printable);
    if (!S_ISREG(about.st_mode))
        return rft_error_format(RFT_ERROR_NOT_CORE, "reading core %s: it is no regular file",
                                printable);
    if (about.st_size == 0)
        return rft_error_format(RFT_ERROR_NOT_CORE,
                                "reading core %s: the file is empty; was there no room for it, "
                                "or does ulimit -c forbid core files?",
                                printable);
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return rft_error_os(errno, "reading core %s", printable);
    char magic[RFT_MAGIC_SIZE];
    bool is_trace = read(fd, magic, sizeof magic) == (ssize_t)sizeof magic &&
                    memcmp(magic, RFT_MAGIC, RFT_MAGIC_SIZE) == 0;
    close(fd);
    if (is_trace)
        return rft_error_format(RFT_ERROR_NOT_CORE,
                                "reading core %s: it is a trace of reftracer run; use: reftracer "
                                "report %s",
                                printable, printable);
    return NULL;
}

static struct rft_error *open_core(const struct inspect_options *options, const char *name,
                                   struct inspect_target *target)
{
    struct rft_strbuf printable = {0};
    rft_text_clean(&printable, name, strlen(name));
    target->core = printable.failed ? NULL : strdup(rft_strbuf_text(&printable));
    rft_strbuf_deinit(&printable);
    if (target->core == NULL)
        return rft_error_no_memory();
    struct rft_error *error = check_file(name, target->core);
    if (error != NULL)
        return error;
    if (options->executable != NULL && access(options->executable, R_OK) != 0)
        return rft_error_os(errno, "reading the executable %s", options->executable);
    if (options->sysroot != NULL && access(options->sysroot, X_OK) != 0)
        return rft_error_os(errno, "looking into the sysroot %s", options->sysroot);
    const struct rft_core_options core = {.executable = options->executable,
                                          .sysroot = options->sysroot};
    error = rft_space_create_core(name, &core, &target->space);
    if (error != NULL) {
        target->space = NULL;
        return error;
    }
    return find_runtime(target);
}

static bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

struct rft_error *inspect_open(const struct inspect_options *options, const char *name,
                               struct inspect_target *target)
{
    if (!is_number(name))
        return open_core(options, name, target);
    if (options->executable != NULL || options->sysroot != NULL)
        return rft_error_format(RFT_ERROR_ARGUMENT,
                                "--exe and --sysroot are for core files, and %s is a process id; "
                                "a file of that name is ./%s",
                                name, name);
    long pid = 0;
    if (!read_number(name, INT_MAX, &pid) || pid == 0)
        return rft_error_format(RFT_ERROR_ARGUMENT,
                                "%s is no process id; a file of that name is ./%s", name, name);
    struct rft_error *error = inspect_open_process((int)pid, target);
    if (error != NULL && error->os_errno == ESRCH && access(name, F_OK) == 0) {
        rft_error_destroy(error);
        return rft_error_format(RFT_ERROR_ARGUMENT,
                                "there is no process %s; if the file of that name is meant, write "
                                "./%s",
                                name, name);
    }
    return error;
}

void inspect_close(struct inspect_target *target)
{
    inspect_past_deinit(&target->past);
    rft_runtime_destroy(target->runtime);
    rft_space_destroy(target->space);
    free(target->core);
    *target = (struct inspect_target){0};
}

/* --- looking ---------------------------------------------------------------------------- */

static struct rft_error *take_one(const struct inspect_options *options, unsigned flags,
                                  struct inspect_target *target)
{
    const struct rft_snapshot *snapshot;
    struct rft_error *error = rft_snapshot_take(target->runtime, flags, &snapshot);
    if (error == NULL)
        error = inspect_past_add(&target->past, snapshot);
    if (error != NULL)
        return error;
    target->look = (struct inspect_look){
        .kind = rft_space_kind(target->space),
        .core = target->core,
        .process = rft_space_facts(target->space),
        .runtime = rft_runtime_facts(target->runtime),
        .snapshot = snapshot,
        .past = &target->past,
        .flags = flags,
        .changes = options->watch,
        .one_interpreter = options->one_interpreter,
        .one_thread = options->one_thread,
        .interpreter = options->interpreter,
        .thread = options->thread,
    };
    inspect_find_moved(target);
    return NULL;
}

/* The last of several looks has everything; those before it only what tells what moves. */
static struct rft_error *take_more(const struct inspect_options *options, long count,
                                   unsigned apart_ms, struct inspect_target *target)
{
    const struct timespec pause = {.tv_nsec = apart_ms * 1000000L};
    struct rft_error *error = NULL;
    for (long i = 1; error == NULL && i <= count; i++) {
        nanosleep(&pause, NULL);
        error = take_one(options, i == count ? options->flags : 0, target);
    }
    return error;
}

struct rft_error *inspect_take(const struct inspect_options *options, struct inspect_target *target)
{
    bool once = target->core != NULL || options->looks == 1;
    bool several = !once && options->looks > 1;
    struct rft_error *error = take_one(options, several ? 0 : options->flags, target);
    if (error != NULL || once)
        return error;
    if (several)
        return take_more(options, options->looks - 1, BETWEEN_LOOKS_MS, target);
    /* Watching is looking often; and C frames stop the process, once is enough. */
    if (options->watch || (options->flags & RFT_SNAPSHOT_NATIVE) != 0)
        return NULL;
    struct inspect_more more = inspect_more_looks(&target->look);
    uint64_t now_ns;
    if (more.unmoved_is_enough && rft_snapshot_unmoved(target->runtime, &now_ns)) {
        inspect_past_add_same(&target->past, now_ns);
        inspect_find_moved(target);
        return NULL;
    }
    return take_more(options, more.looks, more.apart_ms, target);
}

/* --- showing ----------------------------------------------------------------------------- */

struct rft_error *inspect_show(const struct inspect_options *options, const struct page *page,
                               struct rft_json *json, const struct inspect_target *target)
{
    if (!inspect_shows_something(&target->look))
        return rft_error_format(RFT_ERROR_ARGUMENT,
                                "there is no such %s in it; without %s, all "
                                "are shown",
                                options->one_thread ? "thread" : "interpreter",
                                options->one_thread ? "--thread" : "--interpreter");
    if (options->json)
        return inspect_json(json, &target->look);
    if (options->all && !options->stacks)
        return inspect_page_short(page, &target->look);
    return inspect_page(page, &target->look);
}

int inspect_failed(struct rft_error *error)
{
    say("inspect: %s", error->message);
    rft_error_destroy(error);
    return EXIT_UNREADABLE;
}
