/* How much memory may be taken for a while without hurting the program: half of what the
 * machine has, and of what the control groups that the process is in leave it. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"

static bool read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, text, size - 1) : -1;
    if (fd >= 0) {
        close(fd);
    }
    text[length > 0 ? length : 0] = 0;
    return length > 0;
}

size_t rft_decimal(const char *text)
{
    size_t number = 0;
    text += strspn(text, " \t");
    for (; *text >= '0' && *text <= '9' && number <= (SIZE_MAX - 9) / 10; text++) {
        number = number * 10 + (size_t)(*text - '0');
    }
    return number;
}

/* "max" means no limit. */
static size_t number_in(const char *folder, const char *file)
{
    char path[4200], text[64];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (!read_text(path, text, sizeof text) || text[0] < '0' || text[0] > '9') {
        return SIZE_MAX;
    }
    return rft_decimal(text);
}

/* cgroup v2: the process's own group and all above it. */
static size_t groups_leave(void)
{
    char text[4096], folder[4160] = "/sys/fs/cgroup";
    size_t root = strlen(folder), least = SIZE_MAX;
    if (!read_text("/proc/self/cgroup", text, sizeof text)) {
        return SIZE_MAX;
    }
    const char *line = strstr(text, "0::/");
    if (line != NULL) {
        size_t length = strcspn(line + 3, "\n");
        memcpy(folder + root, line + 3, length);
        folder[root + length] = 0;
    }
    for (;;) {
        size_t limit = number_in(folder, "memory.max");
        size_t used = limit != SIZE_MAX ? number_in(folder, "memory.current") : SIZE_MAX;
        if (limit != SIZE_MAX && used != SIZE_MAX) {
            size_t left = limit > used ? limit - used : 0;
            least = left < least ? left : least;
        }
        char *slash = strrchr(folder, '/');
        if (slash < folder + root) {
            return least;
        }
        *slash = 0;
    }
}

size_t rft_memory_to_spare(size_t least)
{
    char text[4096];
    size_t left = groups_leave();
    const char *line =
        read_text("/proc/meminfo", text, sizeof text) ? strstr(text, "MemAvailable:") : NULL;
    if (line != NULL) {
        size_t machine = rft_decimal(line + 13) * 1024;
        left = machine < left ? machine : left;
    }
    left = left == SIZE_MAX ? (size_t)1 << 30 : left / 2;
    return left > least ? left : least;
}
