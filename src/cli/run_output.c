/* Where the trace goes. Everything that can be wrong with it is found before
 * the program is started. */
#include "cli/commands.h"
#include "cli/run.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* More traces of one name than this, in one folder, is a loop gone wrong. */
enum { SAME_NAME_LIMIT = 10000 };

static size_t stem_length(const char *file)
{
    size_t length = strlen(file);
    return length > 4 && strcmp(file + length - 4, ".rft") == 0 ? length - 4 : length;
}

/* Is `name` the trace of a child process of the program whose trace is `file`:
 * STEM.PID.rft or STEM.PID-N.rft? */
static bool is_child_trace(const char *name, const char *file)
{
    size_t stem = stem_length(file);
    if (strncmp(name, file, stem) != 0 || name[stem] != '.')
        return false;
    const char *rest = name + stem + 1;
    size_t digits = strspn(rest, "0123456789");
    if (digits == 0)
        return false;
    rest += digits;
    if (rest[0] == '-' && isdigit((unsigned char)rest[1]))
        rest += 1 + strspn(rest + 1, "0123456789");
    return strcmp(rest, ".rft") == 0;
}

/* Removes the earlier trace and those of its child processes: a report over
 * app.*.rft must not mix two runs. */
static int remove_earlier(const struct output *output)
{
    DIR *folder = opendir(output->folder);
    if (folder == NULL) {
        say("cannot read the folder %s to remove the earlier traces: %s", output->folder,
            strerror(errno));
        return EXIT_RUN_FAILED;
    }
    int code = 0;
    for (struct dirent *entry; code == 0 && (entry = readdir(folder)) != NULL;) {
        if (strcmp(entry->d_name, output->file) != 0 &&
            !is_child_trace(entry->d_name, output->file))
            continue;
        struct stat st;
        if (fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        /* -f must never remove what can't be a trace, such as /dev/null. */
        if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)) {
            say("%s%s is no regular file: give another name with -o", output->shown, entry->d_name);
            code = EXIT_RUN_FAILED;
        } else if (unlinkat(dirfd(folder), entry->d_name, 0) != 0) {
            say("cannot replace %s%s: %s", output->shown, entry->d_name, strerror(errno));
            code = EXIT_RUN_FAILED;
        }
    }
    closedir(folder);
    return code;
}

/* Whether a file can be made in the folder; else errno says why not. Making one
 * is the only sure test: folders such as /proc have rights that mean nothing. */
static bool can_create_in(const char *folder)
{
    char *path = NULL;
    if (asprintf(&path, "%s/.reftracer.XXXXXX", folder) < 0) {
        errno = ENOMEM;
        return false;
    }
    int file = mkostemp(path, O_CLOEXEC);
    int error = errno;
    if (file >= 0) {
        close(file);
        unlink(path);
    }
    free(path);
    errno = error;
    return file >= 0;
}

enum { FILE_SIZE_LEAST = 4096 };

static int check_folder(const struct output *output)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < FILE_SIZE_LEAST) {
        say("cannot write a trace: files may have no more than %llu bytes here. Raise that limit: "
            "ulimit -f unlimited",
            (unsigned long long)limit.rlim_cur);
        return EXIT_RUN_FAILED;
    }
    if (can_create_in(output->folder))
        return 0;
    say("cannot write the trace to %s: %s. Give another place with -o FILE",
        output->shown[0] != '\0' ? output->shown : "the working folder", strerror(errno));
    return EXIT_RUN_FAILED;
}

static int prepare_named(const struct run_options *options, struct output *output)
{
    const char *slash = strrchr(options->output, '/');
    const char *file = slash != NULL ? slash + 1 : options->output;
    output->shown = strndup(options->output, (size_t)(file - options->output));
    output->file = strdup(file);
    if (output->shown == NULL || output->file == NULL) {
        say("out of memory");
        return EXIT_RUN_FAILED;
    }
    struct stat st;
    bool exists = lstat(options->output, &st) == 0;
    if (file[0] == '\0' || (exists && S_ISDIR(st.st_mode))) {
        say("%s is a folder: name a file in it, for instance %s%sapp.rft", options->output,
            options->output, file[0] == '\0' ? "" : "/");
        return EXIT_RUN_FAILED;
    }
    output->folder = realpath(output->shown[0] != '\0' ? output->shown : ".", NULL);
    if (output->folder == NULL) {
        if (errno == ENOENT)
            say("the folder %s does not exist. Make it: mkdir -p %s", output->shown, output->shown);
        else
            say("cannot write the trace to %s: %s", options->output, strerror(errno));
        return EXIT_RUN_FAILED;
    }
    if (exists && !options->force) {
        say("%s exists already: add -f to replace it, or give another name with -o",
            options->output);
        return EXIT_RUN_FAILED;
    }
    int code = check_folder(output);
    if (code == 0 && options->force)
        code = remove_earlier(output);
    return code;
}

/* Without -o a working folder that can't be written to is no reason to refuse:
 * nobody asked for the trace to be there. */
static int prepare_unnamed(struct output *output)
{
    output->folder = realpath(".", NULL);
    if (output->folder != NULL && can_create_in(output->folder)) {
        output->shown = strdup("");
    } else {
        const char *temporary = getenv("TMPDIR");
        free(output->folder);
        output->folder =
            realpath(temporary != NULL && temporary[0] != '\0' ? temporary : "/tmp", NULL);
        if (output->folder == NULL) {
            say("cannot write the trace: neither the working folder nor TMPDIR can be written to. "
                "Give a place with -o FILE");
            return EXIT_RUN_FAILED;
        }
        if (asprintf(&output->shown, "%s/", output->folder) < 0)
            output->shown = NULL;
    }
    if (output->shown == NULL) {
        say("out of memory");
        return EXIT_RUN_FAILED;
    }
    return check_folder(output);
}

int output_prepare(const struct run_options *options, struct output *output)
{
    return options->output != NULL ? prepare_named(options, output) : prepare_unnamed(output);
}

bool output_path(const struct output *output, const char *name, pid_t pid, char *path, size_t size)
{
    const char *slash = strcmp(output->folder, "/") == 0 ? "" : "/";
    if (output->file != NULL) {
        int length = snprintf(path, size, "%s%s%s", output->folder, slash, output->file);
        return length > 0 && (size_t)length < size;
    }
    /* In a container the same few pids come again at every start. */
    for (int number = 1; number < SAME_NAME_LIMIT; number++) {
        char suffix[16] = "";
        if (number > 1)
            snprintf(suffix, sizeof suffix, "-%d", number);
        int length = snprintf(path, size, "%s%sreftracer-%s.%ld%s.rft", output->folder, slash, name,
                              (long)pid, suffix);
        if (length < 0 || (size_t)length >= size)
            return false;
        if (access(path, F_OK) != 0)
            return true;
    }
    return false;
}

void output_deinit(struct output *output)
{
    free(output->folder);
    free(output->file);
    free(output->shown);
}
