/* The parts of `reftracer run`, in the order in which it uses them. Functions
 * that return an exit code have already said what was wrong; 0 is success. */
#ifndef RFT_CLI_RUN_H
#define RFT_CLI_RUN_H

#include <stdbool.h>
#include <sys/types.h>

struct run_options {
    const char *output; /* -o, or NULL */
    bool force;         /* -f */
    const char *python; /* --python, or NULL */
    bool no_gc;
    bool no_children;
    unsigned long holders; /* ms that looking through the heap may take, 0: don't */
    bool quiet;
};

/* ---- run_program.c: what to execute ---- */

/* How the program takes to LD_PRELOAD. */
enum preload_obstacle {
    PRELOAD_WORKS,
    PRELOAD_STATIC,     /* no dynamic loader is involved */
    PRELOAD_OTHER_ABI,  /* another word size, processor or C library than the agent's */
    PRELOAD_PRIVILEGED, /* set-uid and the like: the loader ignores LD_PRELOAD */
};

struct program {
    char *path;  /* what to execute, found as execvp() finds it; owned */
    char **argv; /* its arguments, NULL at the end; the array is owned, the strings are not */
    char *name;  /* what the program is called in the name of the trace; owned */
    enum preload_obstacle obstacle;
};

/* What stands before the arguments: a command or script of its own, or one of
 * Python's ways to name a program. */
enum program_kind { PROGRAM_COMMAND, PROGRAM_MODULE, PROGRAM_CODE };

/* Finds the program of `words` (count of them, at least one; the first is the
 * command, module name or code) and checks what can be checked before it is
 * started. */
int program_find(const struct run_options *options, enum program_kind kind, char **words, int count,
                 struct program *program);
void program_deinit(struct program *program);

/* One clause about the obstacle, "" if there is none. */
const char *obstacle_text(enum preload_obstacle obstacle);

/* ---- run_agent.c: the shared object to preload ---- */

/* Finds the agent and makes LD_PRELOAD's new value of it; both are owned by the
 * caller. */
int agent_find(char **preload);

/* ---- run_output.c: where the trace goes ---- */

struct output {
    char *folder; /* absolute; owned */
    char *file;   /* name inside the folder; NULL: made from the program's name and pid; owned */
    char *shown;  /* folder as messages show it, with its slash, "" for the working folder; owned */
};

/* Checks the folder, and makes room for the trace if told so. */
int output_prepare(const struct run_options *options, struct output *output);
/* The trace's absolute path for a program of this name and pid; false if it
 * doesn't fit. Called in the child, before it becomes the program. */
bool output_path(const struct output *output, const char *name, pid_t pid, char *path, size_t size);
void output_deinit(struct output *output);

/* ---- run_child.c: the program runs ---- */

struct child_end {
    pid_t pid;
    char *trace;     /* absolute path that the child was told to write; owned */
    int exec_error;  /* errno of the exec that failed, 0 if the program was started */
    int wait_status; /* as of waitpid() */
};

/* Starts the program, passes signals on, and waits for its end. status_path
 * may be NULL. */
int child_run(const struct run_options *options, const struct program *program,
              const struct output *output, const char *preload, const char *status_path,
              struct child_end *end);
void child_end_deinit(struct child_end *end);

/* ---- run_outcome.c: what came of it ---- */

/* Creates the file that agents report to. NULL if that fails; everything but
 * the closing message works without it. The caller owns the path, and removes
 * the file with outcome_tell(). */
char *outcome_open(const struct output *output);

/* Removes the status file, tells what was written, or why nothing was, and
 * returns the exit code of `run`. */
int outcome_tell(const struct run_options *options, const struct program *program,
                 const struct output *output, const struct child_end *end, char *status_path);

#endif
