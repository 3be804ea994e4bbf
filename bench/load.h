/* load.h: what both load generators share: time, the server's CPU and memory,
 * sockets, publishers over HTTP, publications recognised by their marker, the report.
 *
 * A publication is recognised by the marker @@<19 digits>@@ anywhere in the bytes
 * received, the digits being CLOCK_MONOTONIC nanoseconds at which it was published,
 * so that any framing and any coalescing can be compared on the same footing. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MARKER 23

static const char *host = "127.0.0.1";
static int port = 8001, nconn = 100, receivers = 0, spread = 5000, window = 200;
static long expect = 0; static double limit_s = 30, settle_s = 0;
static const char *post_path = NULL, *post_body = NULL; static char post_headers[4096];
static long post_count = 0; static double post_rate = 0; static int payload_bytes = 0;
static int publishers = 1, server_pid = 0;

static uint64_t now_ns(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
static void die(const char *m) { perror(m); exit(2); }

/* CPU seconds of the server, user and system: what /proc/PID/stat says, but exact */
static double server_cpu(void) {
    clockid_t clock; struct timespec t;
    if (!server_pid || clock_getcpuclockid(server_pid, &clock) || clock_gettime(clock, &t)) return 0;
    return t.tv_sec + t.tv_nsec / 1e9;
}
static long server_rss_kb(void) {
    if (!server_pid) return 0;
    char f[64]; snprintf(f, sizeof f, "/proc/%d/statm", server_pid);
    FILE *h = fopen(f, "r"); long a, r; if (!h) return 0;
    if (fscanf(h, "%ld %ld", &a, &r) != 2) r = 0;
    fclose(h); return r * (sysconf(_SC_PAGESIZE) / 1024);
}
/* the kernel's own memory, in KB, of the whole machine: sockets, their inodes and the like */
static long kernel_kb(void) {
    FILE *h = fopen("/proc/meminfo", "r"); char line[256]; long kb = 0; if (!h) return 0;
    while (fgets(line, sizeof line, h)) if (!strncmp(line, "Slab:", 5)) kb = atol(line + 5);
    fclose(h); return kb;
}
static void use_all_files_allowed(void) {
    struct rlimit rl; getrlimit(RLIMIT_NOFILE, &rl); rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl);
    if (rl.rlim_max < (rlim_t)nconn + 50) { fprintf(stderr, "%d connections need more open files than ulimit -Hn allows (%ld)\n", nconn, (long)rl.rlim_max); exit(2); }
}

/* connect; each `spread` connections come from a source address of their own, so that ports suffice */
static int dial(int i, int nonblock) {
    int fd = socket(AF_INET, SOCK_STREAM | (nonblock ? SOCK_NONBLOCK : 0), 0), one = 1;
    if (fd < 0) die("socket");
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) }, from = { .sin_family = AF_INET };
    inet_pton(AF_INET, host, &a.sin_addr);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (spread && i >= spread && ntohl(a.sin_addr.s_addr) >> 24 == 127) {
        from.sin_addr.s_addr = htonl(ntohl(a.sin_addr.s_addr) + i / spread);
        setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof one);
        if (bind(fd, (void *)&from, sizeof from) < 0) die("bind");
    }
    if (connect(fd, (void *)&a, sizeof a) < 0 && errno != EINPROGRESS) die("connect");
    return fd;
}

/* a template's text: %i is the connection's number, %m a marker of now and padding, \r and \n line ends */
static int expand(char *out, size_t max, const char *t, int i) {
    size_t o = 0;
    for (; *t && o + 32 + payload_bytes < max; t++) {
        if (t[0] == '%' && t[1] == 'i') { o += sprintf(out + o, "%d", i); t++; }
        else if (t[0] == '%' && t[1] == 'm') {
            o += sprintf(out + o, "@@%019llu@@", (unsigned long long)now_ns()); t++;
            memset(out + o, 'x', payload_bytes); o += payload_bytes;
        }
        else if (t[0] == '\\' && t[1] == 'r') { out[o++] = '\r'; t++; }
        else if (t[0] == '\\' && t[1] == 'n') { out[o++] = '\n'; t++; }
        else out[o++] = *t;
    }
    out[o] = 0; return (int)o;
}

/* bytes waiting to be written on a connection */
struct pending { char *data; int len, off; };
static void queue(struct pending *p, const char *b, int n) {
    p->data = realloc(p->data, p->len + n); memcpy(p->data + p->len, b, n); p->len += n;
}
static int flush(struct pending *p, int fd) {   /* 1: all gone, 0: the rest has to wait, -1: broken */
    while (p->off < p->len) {
        ssize_t w = write(fd, p->data + p->off, p->len - p->off);
        if (w < 0) return errno == EAGAIN ? 0 : -1;
        p->off += w;
    }
    free(p->data); p->data = NULL; p->len = p->off = 0; return 1;
}

/* publications received, and how long each was on its way */
static uint32_t *lat; static size_t nlat, caplat;
static long received; static uint64_t last_rx;

/* counts the markers in n bytes; returns how many bytes at the end may hold the beginning of one more */
static int scan(char *s, int n, int *found) {
    char *p = s, *end = s + n; uint64_t t = now_ns(); *found = 0;
    while ((p = memmem(p, end - p, "@@", 2))) {
        if (end - p < MARKER) break;
        if (p[21] != '@' || p[22] != '@') { p += 2; continue; }
        uint64_t v = 0; for (int k = 2; k < 21; k++) v = v * 10 + (p[k] - '0');
        uint64_t d = t > v ? (t - v) / 1000 : 0;
        if (nlat == caplat) { caplat = caplat ? caplat * 2 : 1 << 20; lat = realloc(lat, caplat * 4); }
        lat[nlat++] = d > 0xffffffffu ? 0xffffffffu : (uint32_t)d;
        received++; ++*found; last_rx = t; p += MARKER; s = p;
    }
    return end - s < MARKER - 1 ? (int)(end - s) : MARKER - 1;
}

static void publisher(int who) {
    long mine = post_count / publishers + (who < post_count % publishers);
    size_t size = payload_bytes + 66560;
    int fd = dial(0, 0); char *body = malloc(size), *rq = malloc(size + 8192), *rx = malloc(1 << 16);
    uint64_t t0 = now_ns();
    for (long k = 0; k < mine; k++) {
        if (post_rate > 0) {
            uint64_t due = t0 + (uint64_t)(k * 1e9 * publishers / post_rate), now;
            while ((now = now_ns()) < due) if (due - now > 300000) { struct timespec s = {0, 200000}; nanosleep(&s, NULL); }
        }
        int o = expand(body, size, post_body, who), n = sprintf(rq, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n%s\r\n", post_path, host, o, post_headers);
        memcpy(rq + n, body, o); n += o;
        for (int off = 0; off < n;) { ssize_t w = write(fd, rq + off, n - off); if (w <= 0) die("publish write"); off += w; }
        for (int got = 0; !got;) {   /* the rest of an answer in two pieces begins the next read */
            ssize_t r = read(fd, rx, (1 << 16) - 1); if (r <= 0) die("publish read");
            rx[r] = 0; got = strstr(rx, "HTTP/1.1 ") != NULL;
            if (got && !strstr(rx, "HTTP/1.1 2")) { fprintf(stderr, "a publication was refused: %.300s\n", rx); exit(3); }
        }
    }
    exit(0);
}
static pid_t started[64];
static void start_publishers(void) {
    fflush(NULL);
    for (int w = 0; w < publishers; w++) { started[w] = fork(); if (!started[w]) publisher(w); }
}
static void stop_publishers(void) { for (int w = 0; w < publishers; w++) if (started[w]) kill(started[w], SIGTERM); }

/* what was measured, from the first connection to the last publication; half of the kernel's memory is ours */
struct run { int ready, failed; uint64_t begun, published; double connect_s, cpu0, cpu1; long rss0, rss1, kernel0, kernel1; };
static struct run begin(void) {
    use_all_files_allowed();
    return (struct run){ .begun = now_ns(), .cpu0 = server_cpu(), .rss0 = server_rss_kb(), .kernel0 = kernel_kb() };
}
static void all_ready(struct run *r) {
    r->cpu1 = server_cpu(); r->rss1 = server_rss_kb(); r->kernel1 = kernel_kb(); r->published = now_ns();
}
static int cmp(const void *a, const void *b) { uint32_t x = *(uint32_t *)a, y = *(uint32_t *)b; return x < y ? -1 : x > y; }
static int report(struct run *r) {
    double span = r->published && last_rx > r->published ? (last_rx - r->published) / 1e9 : 0, cpu2 = server_cpu();
    long wanted = expect * receivers;
    qsort(lat, nlat, 4, cmp);
    printf("{\"connections\": %d, \"receivers\": %d, \"ready\": %d, \"failed\": %d, \"connect_s\": %.3f, \"connect_cpu_s\": %.4f, \"rss_before_kb\": %ld, \"rss_ready_kb\": %ld, \"kb_per_conn\": %.2f, "
           "\"kernel_kb_per_conn\": %.2f, \"expected\": %ld, \"received\": %ld, \"span_s\": %.4f, \"deliveries_per_s\": %.0f, \"server_cpu_s\": %.4f, \"cpu_us_per_delivery\": %.3f, \"rss_end_kb\": %ld, "
           "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n",
           nconn, receivers, r->ready, r->failed, r->connect_s, r->cpu1 - r->cpu0, r->rss0, r->rss1, (double)(r->rss1 - r->rss0) / nconn,
           (r->kernel1 - r->kernel0) / 2.0 / nconn, wanted, received, span, span ? received / span : 0, cpu2 - r->cpu1, received ? (cpu2 - r->cpu1) * 1e6 / received : 0, server_rss_kb(),
           nlat ? lat[nlat / 2] / 1e3 : 0, nlat ? lat[nlat * 99 / 100] / 1e3 : 0, nlat ? lat[nlat - 1] / 1e3 : 0);
    return received >= wanted && !r->failed ? 0 : 1;
}
