/* Preloaded into Envoy: its clocks stand still until they are stepped, and it says when it has nothing more to do. The file STEPPED_CLOCK
   holds a `struct shared`. Only system calls and no memory: a memory allocator may ask for the time while it starts. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define THREADS 60
#define BILLION 1000000000LL

struct thread {
  uint32_t quiet; /* The newest round in which it had nothing to do. */
  uint32_t busy;  /* How often it had something to do. */
};

struct shared {
  int64_t monotonic; /* In nanoseconds. 0: the clocks are the machine's. */
  int64_t wall;
  uint32_t round;
  uint32_t threads;
  struct thread thread[THREADS];
};

static struct shared *shared;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("STEPPED_CLOCK");
  int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR) : -1;
  if (file >= 0) {
    void *mapped = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) shared = mapped;
    close(file);
  }
}

static int64_t stepped(void) { return shared ? __atomic_load_n(&shared->monotonic, __ATOMIC_SEQ_CST) : 0; }
static uint32_t current_round(void) { return __atomic_load_n(&shared->round, __ATOMIC_SEQ_CST); }

static struct thread *new_thread(void) {
  uint32_t at = __atomic_fetch_add(&shared->threads, 1, __ATOMIC_SEQ_CST);
  return &shared->thread[at < THREADS ? at : THREADS - 1];
}

static void is_quiet(struct thread *own, uint32_t round) { __atomic_store_n(&own->quiet, round, __ATOMIC_SEQ_CST); }
static void is_busy(struct thread *own) { __atomic_add_fetch(&own->busy, 1, __ATOMIC_SEQ_CST); }

int clock_gettime(clockid_t clock, struct timespec *now) {
  int64_t time = stepped();
  int is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
  int is_monotonic = clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME;
  if (!time || !(is_wall || is_monotonic)) return (int)syscall(SYS_clock_gettime, clock, now);
  if (is_wall) time = __atomic_load_n(&shared->wall, __ATOMIC_SEQ_CST);
  now->tv_sec = time / BILLION;
  now->tv_nsec = time % BILLION;
  return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec time;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &time)) return -1;
  now->tv_sec = time.tv_sec;
  now->tv_usec = time.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *to) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
  if (to) *to = now.tv_sec;
  return now.tv_sec;
}

/* An event loop has nothing to do if it was told so when it would have waited, and is here again: its timers have run. */
int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
  static _Thread_local struct thread *own;
  static _Thread_local uint32_t nothing_in;
  if (!shared) return (int)syscall(SYS_epoll_pwait, epoll, events, most, timeout, NULL, 0);
  if (!own) own = new_thread();
  if (nothing_in) is_quiet(own, nothing_in);
  uint32_t round = current_round();
  long longest = stepped() ? BILLION / 2000 : BILLION / 20;
  struct timespec wait = {0, timeout >= 0 && timeout < 50 && timeout * 1000000L < longest ? timeout * 1000000L : longest};
  int count = (int)syscall(SYS_epoll_pwait2, epoll, events, most, &wait, NULL, 0);
  nothing_in = count == 0 && timeout != 0 ? round : 0;
  if (count > 0) is_busy(own);
  return count;
}

/* The filter's own thread sleeps by this clock as well. */
static int is_filter(void) {
  char name[16] = "";
  prctl(PR_GET_NAME, name);
  return strcmp(name, "meridian") == 0;
}

static void sleep_until(int64_t end) {
  static _Thread_local struct thread *own;
  if (!own) own = new_thread();
  struct timespec moment = {0, 500000};
  for (;;) {
    uint32_t round = current_round();
    if (stepped() >= end) break;
    is_quiet(own, round);
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &moment, NULL);
  }
  is_busy(own);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left) {
  int64_t now = stepped();
  if (!now || !is_filter()) return syscall(SYS_clock_nanosleep, clock, flags, time, left) ? errno : 0;
  sleep_until((flags & TIMER_ABSTIME ? 0 : now) + time->tv_sec * BILLION + time->tv_nsec);
  return 0;
}

int nanosleep(const struct timespec *time, struct timespec *left) {
  int error = clock_nanosleep(CLOCK_MONOTONIC, 0, time, left);
  if (!error) return 0;
  errno = error;
  return -1;
}
