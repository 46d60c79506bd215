/* Lets one call of the system on the files of a folder fail, end the process, or write less than it should.

   Preloaded (LD_PRELOAD) into a process that chooses by `fault_arm`. A close fails after it has closed. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/types.h>
#include <unistd.h>

enum call { OPEN, WRITE, FSYNC, RENAME, MKDIR, UNLINK, CLOSE, CALLS };
enum { KILL = -1, SHORT = -2 };

static char folder[4096];
static int pauses, chosen = -1, fault, stays; /* the call, the error it ends with or one of the above, for all later ones, too */
static long at, counts[CALLS];

void fault_arm(const char *path, int call, long number, int what, int lasts) {
    strncpy(folder, path, sizeof folder - 1);
    chosen = call, at = number, fault = what, stays = lasts;
    memset(counts, 0, sizeof counts);
}

void fault_pause(int on) { pauses = on; }

long fault_count(int call) { return counts[call]; }

static int is_concerned(const char *path) {
    return *folder && (*path != '/' || strncmp(path, folder, strlen(folder)) == 0);
}

static int is_open_there(int fd) {
    char link[64], path[4096];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = *folder ? readlink(link, path, sizeof path - 1) : -1;
    errno = saved;
    if (size < 0) return 0;
    path[size] = 0;
    return *path == '/' && is_concerned(path);
}

/* Count a call; return the fault if it is the chosen one. */
static int meets(enum call call, int concerned) {
    if (!concerned || pauses) return 0;
    long number = __sync_add_and_fetch(&counts[call], 1);
    if ((int)call != chosen || (stays ? number < at : number != at)) return 0;
    if (fault == KILL) raise(SIGKILL);
    return fault;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define FAILS(call, concerned) int found = meets(call, concerned); if (found > 0) return errno = found, -1

#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \
        FAILS(OPEN, is_concerned(path)); return real(path, flags, mode); }
OPENS(open)
OPENS(open64)
#define OPENS_AT(name) \
    int name(int at_, const char *path, int flags, ...) { \
        REAL(name); va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \
        FAILS(OPEN, is_concerned(path)); return real(at_, path, flags, mode); }
OPENS_AT(openat)
OPENS_AT(openat64)

#define WRITES(name, parameters, size, ...) \
    ssize_t name parameters { \
        REAL(name); FAILS(WRITE, is_open_there(fd)); if (found == SHORT && size > 1) size /= 2; return real(__VA_ARGS__); }
WRITES(write, (int fd, const void *data, size_t size), size, fd, data, size)
WRITES(pwrite, (int fd, const void *data, size_t size, off_t from), size, fd, data, size, from)
WRITES(pwrite64, (int fd, const void *data, size_t size, off64_t from), size, fd, data, size, from)
WRITES(sendfile, (int fd, int source, off_t *from, size_t size), size, fd, source, from, size)
WRITES(sendfile64, (int fd, int source, off64_t *from, size_t size), size, fd, source, from, size)

#define CHANGES(name, call, concerned, parameters, ...) \
    int name parameters { REAL(name); FAILS(call, concerned); return real(__VA_ARGS__); }
CHANGES(fsync, FSYNC, is_open_there(fd), (int fd), fd)
CHANGES(fdatasync, FSYNC, is_open_there(fd), (int fd), fd)
CHANGES(rename, RENAME, is_concerned(to), (const char *path, const char *to), path, to)
CHANGES(renameat, RENAME, is_concerned(to), (int a, const char *path, int b, const char *to), a, path, b, to)
CHANGES(mkdir, MKDIR, is_concerned(path), (const char *path, mode_t mode), path, mode)
CHANGES(mkdirat, MKDIR, is_concerned(path), (int a, const char *path, mode_t mode), a, path, mode)
CHANGES(unlink, UNLINK, is_concerned(path), (const char *path), path)
CHANGES(unlinkat, UNLINK, is_concerned(path), (int a, const char *path, int flags), a, path, flags)
CHANGES(rmdir, UNLINK, is_concerned(path), (const char *path), path)

int close(int fd) {
    REAL(close);
    int found = meets(CLOSE, is_open_there(fd)), result = real(fd);
    return found > 0 ? errno = found, -1 : result;
}
