/*
 * Stands between a program and its files (LD_PRELOAD), for the files whose path begins with DISK_FOLDER.
 *
 * DISK_FAULT names a control file of one line, "OPERATION COUNT ERRNO PATHPART": the next COUNT calls of OPERATION
 * ("sync" or "write") on a file whose path has PATHPART in it fail with ERRNO. Without the file nothing fails.
 *
 * DISK_TRACE names a file that gets one entry for each change, in their order over all threads and processes:
 * kind (1 byte), 7 bytes of zeros, inode, offset, length of the path, length of the data (8 bytes each, host order),
 * the path, the data. Kinds: C created, W written, T truncated to the offset, U unlinked, S flushed, D folder flushed,
 * F a flush that failed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int trace_file = -2;

static void *next_one(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) abort();
  return found;
}
#define NEXT(name) static __typeof__(&name) next; if (next == NULL) next = (__typeof__(&name))next_one(#name)

static int raw_open(const char *path, int flags) {
  static int (*next)(const char *, int, ...);
  if (next == NULL) next = (int (*)(const char *, int, ...))next_one("open64");
  return next(path, flags, 0600);
}

static ssize_t raw_write(int fd, const void *bytes, size_t count) {
  static ssize_t (*next)(int, const void *, size_t);
  if (next == NULL) next = (ssize_t(*)(int, const void *, size_t))next_one("write");
  return next(fd, bytes, count);
}

static int is_ours(const char *path) {
  const char *folder = getenv("DISK_FOLDER");
  return folder != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

/* The path of an open file, or an empty string where it is none of ours. */
static const char *path_of(int fd, char *into) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, into, PATH_MAX - 1);
  into[length > 0 && is_ours(into) ? length : 0] = 0;
  return into;
}

static void lock(void) {
  if (trace_file == -2) {
    const char *name = getenv("DISK_TRACE");
    trace_file = name == NULL ? -1 : raw_open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC);
  }
}

static void note(char kind, uint64_t inode, uint64_t offset, const char *path, const void *data, size_t length) {
  lock();
  if (trace_file < 0) return;
  uint64_t head[5] = {(uint64_t)kind, inode, offset, strlen(path), length};
  size_t whole = sizeof head + head[3] + length;
  char *entry = malloc(whole);
  memcpy(entry, head, sizeof head);
  memcpy(entry + sizeof head, path, head[3]);
  if (length > 0) memcpy(entry + sizeof head + head[3], data, length);
  if (raw_write(trace_file, entry, whole) != (ssize_t)whole) abort();
  free(entry);
}

static uint64_t inode_of(int fd) {
  struct stat found;
  return fstat(fd, &found) == 0 ? found.st_ino : 0;
}

static int is_due(const char *operation, const char *path) {
  const char *name = getenv("DISK_FAULT");
  if (name == NULL || path[0] == 0) return 0;
  int fd = raw_open(name, O_RDWR | O_CLOEXEC);
  if (fd < 0) return 0;
  char line[256] = {0}, wanted[16] = {0}, part[128] = {0};
  int count = 0, error = EIO, due = 0;
  flock(fd, LOCK_EX);
  if (read(fd, line, sizeof line - 1) > 0 && sscanf(line, "%15s %d %d %127s", wanted, &count, &error, part) == 4) {
    due = count > 0 && strcmp(wanted, operation) == 0 && strstr(path, part) != NULL;
    if (due) {
      int length = snprintf(line, sizeof line, "%s %d %d %s\n", wanted, count - 1, error, part);
      static ssize_t (*put)(int, const void *, size_t, off_t);
      if (put == NULL) put = (ssize_t(*)(int, const void *, size_t, off_t))next_one("pwrite");
      if (put(fd, line, length, 0) != length) abort();
    }
  }
  close(fd);
  if (due) errno = error;
  return due;
}

static int synced(int fd, int (*next)(int)) {
  char path[PATH_MAX];
  path_of(fd, path);
  if (is_due("sync", path)) {
    int error = errno;
    note('F', inode_of(fd), 0, path, NULL, 0);
    errno = error;
    return -1;
  }
  int result = next(fd);
  if (result == 0 && path[0] != 0) {
    struct stat found;
    int is_folder = fstat(fd, &found) == 0 && S_ISDIR(found.st_mode);
    note(is_folder ? 'D' : 'S', inode_of(fd), 0, path, NULL, 0);
  }
  return result;
}

int fsync(int fd) { NEXT(fsync); return synced(fd, next); }
int fdatasync(int fd) { NEXT(fdatasync); return synced(fd, next); }

static ssize_t put_at(int fd, const void *bytes, size_t count, off64_t at) {
  NEXT(pwrite64);
  char path[PATH_MAX];
  path_of(fd, path);
  if (is_due("write", path)) return -1;
  ssize_t written = next(fd, bytes, count, at);
  int error = errno;
  if (written > 0 && path[0] != 0) note('W', inode_of(fd), at, path, bytes, written);
  errno = error;
  return written;
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) { return put_at(fd, bytes, count, at); }
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return put_at(fd, bytes, count, at); }

ssize_t write(int fd, const void *bytes, size_t count) {
  char path[PATH_MAX];
  path_of(fd, path);
  if (path[0] == 0) return raw_write(fd, bytes, count);
  if (is_due("write", path)) return -1;
  off_t at = lseek(fd, 0, SEEK_CUR);
  ssize_t written = raw_write(fd, bytes, count);
  int error = errno;
  if (written > 0) note('W', inode_of(fd), at, path, bytes, written);
  errno = error;
  return written;
}

int ftruncate64(int fd, off64_t length) {
  NEXT(ftruncate64);
  char path[PATH_MAX];
  int result = next(fd, length);
  if (result == 0 && path_of(fd, path)[0] != 0) note('T', inode_of(fd), length, path, NULL, 0);
  return result;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int unlink(const char *path) {
  NEXT(unlink);
  int result = next(path);
  if (result == 0 && is_ours(path)) note('U', 0, 0, path, NULL, 0);
  return result;
}

static int opened(const char *path, int flags, mode_t mode) {
  static int (*next)(const char *, int, ...);
  if (next == NULL) next = (int (*)(const char *, int, ...))next_one("open64");
  int isNew = (flags & O_CREAT) != 0 && is_ours(path) && access(path, F_OK) != 0;
  int fd = next(path, flags, mode);
  int error = errno;
  if (fd >= 0 && isNew) note('C', inode_of(fd), 0, path, NULL, 0);
  errno = error;
  return fd;
}
static mode_t mode_in(va_list rest, int flags) { return (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0; }
#define OPENS(name) \
  int name(const char *path, int flags, ...) { \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = mode_in(rest, flags); \
    va_end(rest); \
    return opened(path, flags, mode); \
  }
OPENS(open)
OPENS(open64)
