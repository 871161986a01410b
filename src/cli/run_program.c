/* Finds the program that `run` shall start, and looks at it before it is
 * started: what the user should know is better said now than after an hour. */
#include "cli/commands.h"
#include "cli/run.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    NAME_LIMIT = 64,         /* of the trace's name: long enough to recognise the program */
    SHEBANG_DEPTH_LIMIT = 4, /* the kernel's own bound on scripts run by scripts */
    PROGRAM_HEADERS_LIMIT = 512,
};

/* ---- PATH ---- */

static bool is_executable_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* As execvp(): a name with a slash is a path; otherwise the first executable
 * file along PATH. *error tells what execvp() would. */
static char *find_on_path(const char *name, int *error)
{
    *error = ENOENT;
    if (name[0] == '\0')
        return NULL;
    if (strchr(name, '/') != NULL)
        return strdup(name);
    const char *path = getenv("PATH");
    if (path == NULL)
        path = "/bin:/usr/bin";
    for (;;) {
        size_t length = strcspn(path, ":");
        char *candidate = NULL;
        if (asprintf(&candidate, "%.*s%s%s", (int)length, path, length > 0 ? "/" : "./", name) < 0)
            return NULL;
        struct stat st;
        if (is_executable_file(candidate))
            return candidate;
        if (stat(candidate, &st) == 0 || errno == EACCES)
            *error = EACCES;
        free(candidate);
        if (path[length] == '\0')
            return NULL;
        path += length + 1;
    }
}

/* ---- looking into the file ---- */

/* The loader that an ELF file asks for, in `loader`; "" if it asks for none. */
static enum preload_obstacle read_elf(int file, const unsigned char *head, ssize_t head_size)
{
    const Elf64_Ehdr *elf = (const Elf64_Ehdr *)(const void *)head;
    if (head_size < (ssize_t)sizeof *elf)
        return PRELOAD_WORKS; /* exec will say what is wrong with it */
    if (head[EI_CLASS] != ELFCLASS64)
        return PRELOAD_OTHER_ABI;
#if defined(__x86_64__)
    if (elf->e_machine != EM_X86_64)
        return PRELOAD_OTHER_ABI;
#elif defined(__aarch64__)
    if (elf->e_machine != EM_AARCH64)
        return PRELOAD_OTHER_ABI;
#endif
    if (elf->e_phentsize != sizeof(Elf64_Phdr) || elf->e_phnum > PROGRAM_HEADERS_LIMIT)
        return PRELOAD_WORKS;
    for (int i = 0; i < elf->e_phnum; i++) {
        Elf64_Phdr header;
        off_t at = (off_t)(elf->e_phoff + (Elf64_Off)i * sizeof header);
        if (pread(file, &header, sizeof header, at) != (ssize_t)sizeof header)
            return PRELOAD_WORKS;
        if (header.p_type != PT_INTERP)
            continue;
        char loader[PATH_MAX] = "";
        size_t size = header.p_filesz < sizeof loader ? header.p_filesz : sizeof loader - 1;
        ssize_t got = pread(file, loader, size, (off_t)header.p_offset);
#ifdef __GLIBC__
        if (got > 0 && strstr(loader, "ld-musl") != NULL)
            return PRELOAD_OTHER_ABI;
#else
        (void)got;
#endif
        return PRELOAD_WORKS;
    }
    return PRELOAD_STATIC;
}

/* Does the kernel start the file in secure mode, in which the loader ignores
 * LD_PRELOAD? */
static bool is_privileged(const char *path, const struct stat *st)
{
    if ((st->st_mode & S_ISUID) != 0 && st->st_uid != geteuid())
        return true;
    if ((st->st_mode & S_ISGID) != 0 && (st->st_mode & S_IXGRP) != 0 && st->st_gid != getegid())
        return true;
    return geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;
}

/* Looks at the file that will be executed, through `#!` lines. */
static int inspect(const char *path, int depth, enum preload_obstacle *obstacle)
{
    struct stat st;
    unsigned char head[256] = {0};
    if (stat(path, &st) != 0)
        return 0; /* gone meanwhile: exec will say so */
    if (is_privileged(path, &st)) {
        *obstacle = PRELOAD_PRIVILEGED;
        return 0;
    }
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0; /* executable but not readable is possible */
    ssize_t size = read(file, head, sizeof head - 1);
    if (size >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0)
        *obstacle = read_elf(file, head, size);
    close(file);
    if (size < 2 || head[0] != '#' || head[1] != '!' || depth >= SHEBANG_DEPTH_LIMIT)
        return 0;

    char *interpreter = (char *)head + 2;
    interpreter += strspn(interpreter, " \t");
    interpreter[strcspn(interpreter, " \t\r\n")] = '\0';
    if (access(interpreter, F_OK) != 0 && errno == ENOENT) {
        say("cannot start %s: its first line asks for %s, which does not exist", path, interpreter);
        return EXIT_NOT_FOUND;
    }
    return inspect(interpreter, depth + 1, obstacle);
}

const char *obstacle_text(enum preload_obstacle obstacle)
{
    switch (obstacle) {
    case PRELOAD_STATIC:
        return "is statically linked, so the agent can't be loaded into it";
    case PRELOAD_OTHER_ABI:
        return "is built for another processor, word size or C library than the agent";
    case PRELOAD_PRIVILEGED:
        return "runs with another user's rights (set-uid), so the agent is not loaded into it "
               "(start reftracer itself as that user)";
    case PRELOAD_WORKS:
        break;
    }
    return "";
}

/* ---- the program's name, for the trace's ---- */

static bool ends_in(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t tail = strlen(end);
    return length > tail && strcmp(text + length - tail, end) == 0;
}

static bool is_script(const char *name)
{
    return ends_in(name, ".py") || ends_in(name, ".pyw") || ends_in(name, ".pyz") ||
           ends_in(name, ".pyc");
}

/* `python3 -X dev app.py` is called app, `python3 -m http.server` http.server. */
static const char *subject_of_python(char **argv)
{
    for (int i = 1; argv[i] != NULL; i++) {
        const char *word = argv[i];
        if (word[0] != '-')
            return word;
        if (strcmp(word, "-m") == 0)
            return argv[i + 1] != NULL ? argv[i + 1] : argv[0];
        if (strcmp(word, "-c") == 0)
            return "code";
        if ((strcmp(word, "-W") == 0 || strcmp(word, "-X") == 0) && argv[i + 1] != NULL)
            i++;
    }
    return argv[0];
}

static char *name_for_trace(const char *subject)
{
    size_t length = strlen(subject);
    while (length > 1 && subject[length - 1] == '/')
        length--;
    size_t start = length;
    while (start > 0 && subject[start - 1] != '/')
        start--;
    char *name = strndup(subject + start, length - start);
    if (name == NULL)
        return NULL;
    if (is_script(name))
        *strrchr(name, '.') = '\0';
    if (strlen(name) > NAME_LIMIT)
        name[NAME_LIMIT] = '\0';
    for (char *c = name; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr("._-", *c) == NULL)
            *c = '_';
    return name;
}

/* ---- all together ---- */

static int check_script(const char *script)
{
    if (access(script, R_OK) == 0)
        return 0;
    say("cannot read the script %s: %s", script, strerror(errno));
    return errno == ENOENT || errno == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

static int find_executable(const char *name, bool python_was_looked_for, struct program *program)
{
    int error = 0;
    program->path = find_on_path(name, &error);
    struct stat st;
    if (program->path != NULL && stat(program->path, &st) != 0) {
        error = errno;
        free(program->path);
        program->path = NULL;
    }
    if (program->path == NULL) {
        if (error == EACCES) {
            say("cannot execute %s: permission denied", name);
            return EXIT_NOT_EXECUTABLE;
        }
        if (python_was_looked_for)
            say("cannot find %s along PATH: name the Python to use with --python", name);
        else if (strchr(name, '/') != NULL)
            say("cannot find the program %s: %s", name, strerror(error));
        else
            say("cannot find the program %s: it is nowhere along PATH", name);
        return EXIT_NOT_FOUND;
    }
    if (S_ISDIR(st.st_mode)) {
        say("cannot execute %s: it is a folder. If it is a Python program, name the Python: "
            "reftracer run -- python3 %s",
            name, name);
        return EXIT_NOT_EXECUTABLE;
    }
    if (access(program->path, X_OK) != 0) {
        say("cannot execute %s: %s", program->path, strerror(errno));
        return EXIT_NOT_EXECUTABLE;
    }
    return inspect(program->path, 0, &program->obstacle);
}

int program_find(const struct run_options *options, enum program_kind kind, char **words, int count,
                 struct program *program)
{
    bool with_python = kind != PROGRAM_COMMAND || options->python != NULL || is_script(words[0]);
    program->argv = calloc((size_t)count + 3, sizeof *program->argv);
    if (program->argv == NULL) {
        say("out of memory");
        return EXIT_RUN_FAILED;
    }
    static char option_m[] = "-m";
    static char option_c[] = "-c";
    static char default_python[] = "python3";
    char *python = options->python != NULL ? (char *)options->python : default_python;
    int used = 0;
    if (with_python)
        program->argv[used++] = python;
    if (kind == PROGRAM_MODULE)
        program->argv[used++] = option_m;
    if (kind == PROGRAM_CODE)
        program->argv[used++] = option_c;
    memcpy(program->argv + used, words, (size_t)count * sizeof *words);

    const char *subject = words[0];
    if (kind == PROGRAM_CODE)
        subject = "code";
    else if (kind == PROGRAM_COMMAND && !with_python) {
        const char *slash = strrchr(words[0], '/');
        if (strncmp(slash != NULL ? slash + 1 : words[0], "python", 6) == 0)
            subject = subject_of_python(words);
    }
    program->name = name_for_trace(subject);
    if (program->name == NULL) {
        say("out of memory");
        return EXIT_RUN_FAILED;
    }
    if (kind == PROGRAM_COMMAND && with_python) {
        int code = check_script(words[0]);
        if (code != 0)
            return code;
    }
    return find_executable(program->argv[0], with_python && options->python == NULL, program);
}

void program_deinit(struct program *program)
{
    free(program->path);
    free(program->argv);
    free(program->name);
}
