/* `reftracer inspect --all`: every CPython on the machine that may be read. Processes that
 * can't be one are not opened: their executable and the files that they have mapped tell. */
#include "cli/inspect.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "base/vec.h"
#include "cli/commands.h"

/* An executable that was looked into. */
struct executable {
    dev_t device;
    ino_t inode;
    bool has_runtime;
};

struct refusal {
    int pid;
    char *command, *reason; /* printable */
};

struct survey {
    RFT_VEC(int) pids;
    RFT_VEC(struct executable) executables;
    RFT_VEC(struct refusal) refusals;
    size_t shut; /* processes that may not be looked into and don't seem to be Pythons */
    size_t shown;
};

static void deinit(struct survey *survey)
{
    for (size_t i = 0; i < survey->refusals.count; i++) {
        free(survey->refusals.items[i].command);
        free(survey->refusals.items[i].reason);
    }
    rft_vec_free(&survey->pids);
    rft_vec_free(&survey->executables);
    rft_vec_free(&survey->refusals);
}

/* --- which processes ------------------------------------------------------------------- */

static int by_number(const void *left, const void *right)
{
    int a = *(const int *)left, b = *(const int *)right;
    return (a > b) - (a < b);
}

static struct rft_error *list_processes(struct survey *survey)
{
    DIR *folder = opendir("/proc");
    if (folder == NULL)
        return rft_error_os(errno, "looking for processes in /proc");
    bool fine = true;
    for (struct dirent *entry; fine && (entry = readdir(folder)) != NULL;) {
        long pid;
        if (read_number(entry->d_name, INT_MAX, &pid) && pid > 0 && pid != getpid())
            fine = rft_vec_push(&survey->pids, (int)pid);
    }
    closedir(folder);
    if (!fine)
        return rft_error_no_memory();
    if (survey->pids.count > 0)
        qsort(survey->pids.items, survey->pids.count, sizeof *survey->pids.items, by_number);
    return NULL;
}

/* Whether a CPython is linked into the executable; each is looked into once. */
static bool executable_has_runtime(struct survey *survey, int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    struct stat about;
    bool known = false, has = false;
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode)) {
        for (size_t i = 0; !known && i < survey->executables.count; i++) {
            const struct executable *other = &survey->executables.items[i];
            known = other->device == about.st_dev && other->inode == about.st_ino;
            has = known && other->has_runtime;
        }
        if (!known) {
            has = has_runtime_linked(fd);
            struct executable executable = {about.st_dev, about.st_ino, has};
            (void)rft_vec_push(&survey->executables, executable); /* only a shortcut */
        }
    }
    close(fd);
    return has;
}

/* -1: may not be read. 1: maps a file with "python" in its path, as every CPython does that
 * has an extension module or a shared libpython. */
static int maps_python(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    FILE *maps = fopen(path, "re");
    if (maps == NULL)
        return errno == EACCES || errno == EPERM ? -1 : 0;
    char *line = NULL;
    size_t room = 0;
    int answer = 0;
    while (answer == 0 && getline(&line, &room, maps) > 0) {
        const char *file = strchr(line, '/');
        answer = file != NULL && strcasestr(file, "python") != NULL;
    }
    if (answer == 0 && ferror(maps))
        answer = -1;
    free(line);
    fclose(maps);
    return answer;
}

/* The command line, printable, or "[name]" of one without; NULL without memory. */
static char *command_of(int pid)
{
    char path[64], bytes[256];
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, bytes, sizeof bytes) : 0;
    if (fd >= 0)
        close(fd);
    while (size > 0 && bytes[size - 1] == '\0')
        size--;
    for (ssize_t i = 0; i < size; i++)
        if (bytes[i] == '\0')
            bytes[i] = ' ';
    struct rft_strbuf text = {0};
    if (size > 0)
        rft_text_clean(&text, bytes, (size_t)size);
    char *copy = text.failed ? NULL : strdup(rft_strbuf_text(&text));
    rft_strbuf_deinit(&text);
    return copy;
}

/* A process without an executable is one of the kernel's, or has ended. */
enum likelihood { IS_NONE, MAY_BE, IS_SHUT };

static enum likelihood judge(struct survey *survey, int pid)
{
    char path[64], link[PATH_MAX];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t length = readlink(path, link, sizeof link - 1);
    if (length < 0)
        return errno == EACCES || errno == EPERM ? IS_SHUT : IS_NONE;
    link[length] = '\0';
    const char *slash = strrchr(link, '/');
    if (slash != NULL && strncmp(slash, "/python", 7) == 0)
        return MAY_BE;
    int maps = maps_python(pid);
    if (maps < 0)
        return IS_SHUT;
    return maps > 0 || executable_has_runtime(survey, pid) ? MAY_BE : IS_NONE;
}

/* --- what is shown of them ---------------------------------------------------------------- */

/* The message without its beginning, "reading process 12: ". */
static const char *reason_of(const struct rft_error *error, int pid)
{
    char beginning[64];
    int length = snprintf(beginning, sizeof beginning, "reading process %d: ", pid);
    const char *at = strstr(error->message, beginning);
    return at != NULL ? at + length : error->message;
}

static struct rft_error *refuse(struct survey *survey, int pid, struct rft_error *error)
{
    struct refusal refusal = {pid, command_of(pid), strdup(reason_of(error, pid))};
    rft_error_destroy(error);
    if (refusal.command != NULL && refusal.reason != NULL &&
        rft_vec_push(&survey->refusals, refusal))
        return NULL;
    free(refusal.command);
    free(refusal.reason);
    return rft_error_no_memory();
}

/* What may not be looked into is named if it says that it is a Python. */
static struct rft_error *refuse_shut(struct survey *survey, int pid)
{
    char *command = command_of(pid);
    bool python = command != NULL && strcasestr(command, "python") != NULL;
    free(command);
    struct inspect_target target = {0};
    struct rft_error *error = python ? inspect_open_process(pid, &target) : NULL;
    inspect_close(&target);
    if (error != NULL && error->os_errno != ESRCH)
        return refuse(survey, pid, error);
    rft_error_destroy(error);
    survey->shut += !python;
    return NULL;
}

static struct rft_error *look_at(struct survey *survey, const struct inspect_options *options,
                                 int pid, const struct page *page, struct rft_json *json)
{
    enum likelihood likelihood = judge(survey, pid);
    if (likelihood == IS_SHUT)
        return refuse_shut(survey, pid);
    if (likelihood == IS_NONE)
        return NULL;
    struct inspect_target target = {0};
    struct rft_error *error = inspect_open_process(pid, &target);
    if (error == NULL)
        error = inspect_take(options, &target);
    if (error == NULL) {
        if (survey->shown++ > 0 && !options->json)
            page_line(page);
        error = inspect_show(options, page, json, &target);
        inspect_close(&target);
        return error;
    }
    inspect_close(&target);
    /* Most of those that map something of Python's are none; some end just now. */
    bool unimportant = error->code == RFT_ERROR_NOT_PYTHON || error->os_errno == ESRCH;
    if (!unimportant)
        return refuse(survey, pid, error);
    rft_error_destroy(error);
    return NULL;
}

static void write_refusals(const struct survey *survey, const struct page *page)
{
    for (size_t i = 0; i < survey->refusals.count; i++) {
        const struct refusal *refusal = &survey->refusals.items[i];
        struct rft_strbuf text = {0};
        if (i == 0)
            page_line(page);
        rft_strbuf_format(&text, "%d not read: %s", refusal->pid, refusal->reason);
        if (refusal->command[0] != '\0')
            rft_strbuf_format(&text, " (%s)", refusal->command);
        page_paragraph(page, INK_CAUTION, 0, rft_strbuf_text(&text));
        rft_strbuf_deinit(&text);
    }
    if (survey->shut > 0) {
        struct rft_strbuf text = {0};
        page_line(page);
        rft_strbuf_format(&text, "%zu more process%s not be looked into%s; by %s, %s", survey->shut,
                          survey->shut == 1 ? " may" : "es may",
                          geteuid() != 0 ? " except by root" : "",
                          survey->shut == 1 ? "its name" : "their names",
                          survey->shut == 1 ? "it is no Python" : "they are no Pythons");
        page_paragraph(page, INK_DIM, 0, rft_strbuf_text(&text));
        rft_strbuf_deinit(&text);
    }
}

static void json_refusals(const struct survey *survey, struct rft_json *json)
{
    rft_json_key(json, "not_read");
    rft_json_array_begin(json);
    for (size_t i = 0; i < survey->refusals.count; i++) {
        const struct refusal *refusal = &survey->refusals.items[i];
        rft_json_object_begin(json);
        rft_json_key(json, "pid");
        rft_json_int(json, refusal->pid);
        rft_json_key(json, "command");
        rft_json_string(json, refusal->command);
        rft_json_key(json, "reason");
        rft_json_string(json, refusal->reason);
        rft_json_object_end(json);
    }
    rft_json_array_end(json);
    rft_json_key(json, "not_looked_into");
    rft_json_uint(json, survey->shut);
}

int inspect_all(const struct inspect_options *options)
{
    struct survey survey = {0};
    struct page page;
    struct rft_json json;
    page_init(&page, stdout, options->no_colour ? COLOUR_NEVER : COLOUR_AUTO);
    rft_json_init(&json, stdout, 0);
    struct rft_error *error = list_processes(&survey);
    if (error == NULL && options->json) {
        rft_json_object_begin(&json);
        rft_json_key(&json, "schema");
        rft_json_string(&json, INSPECT_ALL_SCHEMA);
        rft_json_key(&json, "processes");
        rft_json_array_begin(&json);
    }
    for (size_t i = 0; error == NULL && !ferror(stdout) && i < survey.pids.count; i++)
        error = look_at(&survey, options, survey.pids.items[i], &page, &json);
    int code = EXIT_FINE;
    if (error != NULL) {
        code = inspect_failed(error);
    } else {
        if (options->json) {
            rft_json_array_end(&json);
            json_refusals(&survey, &json);
            rft_json_object_end(&json);
            fputc('\n', stdout);
        } else {
            write_refusals(&survey, &page);
        }
        if (survey.shown == 0) {
            say("inspect: there is no CPython 3.8 to 3.15 on this machine that you may read");
            code = EXIT_UNREADABLE;
        }
    }
    deinit(&survey);
    return code;
}
