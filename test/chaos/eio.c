// Preloaded into a process, makes writes to files below $KYMO_EIO_FOLDER fail with EIO, as a dying disk does, while the file
// $KYMO_EIO_SWITCH exists. Built by io-errors.ts.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int broken(int fd) {
  const char *folder = getenv("KYMO_EIO_FOLDER");
  const char *on = getenv("KYMO_EIO_SWITCH");
  if (folder == NULL || on == NULL || access(on, F_OK) != 0) return 0;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  size_t prefix = strlen(folder);
  return strncmp(path, folder, prefix) == 0 && path[prefix] == '/';
}

#define FAILING(type, name, parameters, arguments)                \
  type name parameters {                                          \
    static type(*real) parameters;                                \
    if (real == NULL) real = (type(*) parameters)dlsym(RTLD_NEXT, #name); \
    if (broken(fd)) {                                             \
      errno = EIO;                                                \
      return -1;                                                  \
    }                                                             \
    return real arguments;                                        \
  }

FAILING(ssize_t, write, (int fd, const void *bytes, size_t length), (fd, bytes, length))
FAILING(ssize_t, pwrite, (int fd, const void *bytes, size_t length, off_t at), (fd, bytes, length, at))
FAILING(ssize_t, pwrite64, (int fd, const void *bytes, size_t length, off64_t at), (fd, bytes, length, at))
FAILING(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
FAILING(ssize_t, pwritev, (int fd, const struct iovec *parts, int count, off_t at), (fd, parts, count, at))
FAILING(ssize_t, pwritev64, (int fd, const struct iovec *parts, int count, off64_t at), (fd, parts, count, at))
FAILING(int, fsync, (int fd), (fd))
FAILING(int, fdatasync, (int fd), (fd))
FAILING(int, ftruncate, (int fd, off_t length), (fd, length))
FAILING(int, ftruncate64, (int fd, off64_t length), (fd, length))
