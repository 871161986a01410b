/* A program that embeds Python without saying so in its name.
 *
 * usage: embed LIBRARY ARGUMENT...
 *
 * LIBRARY: a libpython that is loaded with dlopen, or "" if this was linked with one
 * (-DLINKED). The arguments are Python's. Special first arguments: "wait-before" waits
 * with Python loaded and not initialized, "wait-after" after it was finalized; both until
 * stdin ends. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef LINKED
int Py_BytesMain(int count, char **arguments);
void Py_InitializeEx(int signals);
int Py_FinalizeEx(void);
#endif

static void wait_for_end(void)
{
    char byte;
    (void)!write(STDOUT_FILENO, "waiting\n", 8);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    int (*bytes_main)(int, char **);
    void (*initialize)(int);
    int (*finalize)(void);
#ifdef LINKED
    bytes_main = Py_BytesMain;
    initialize = Py_InitializeEx;
    finalize = Py_FinalizeEx;
#else
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&bytes_main = dlsym(library, "Py_BytesMain");
    *(void **)&initialize = dlsym(library, "Py_InitializeEx");
    *(void **)&finalize = dlsym(library, "Py_FinalizeEx");
#endif
    if (argc > 2 && !strcmp(argv[2], "wait-before")) {
        wait_for_end();
        return 0;
    }
    if (argc > 2 && !strcmp(argv[2], "wait-after")) {
        initialize(1);
        finalize();
        wait_for_end();
        return 0;
    }
    argv[1] = argv[0];
    return bytes_main(argc - 1, argv + 1);
}
