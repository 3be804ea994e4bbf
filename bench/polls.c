/* polls: a load generator for comet, as rtload is for WebSocket (see load.h).
 *
 * Each client has one kept-alive connection. It shakes hands, sends CONNECT, polls until it
 * is CONNECTED, sends SUBSCRIBE, polls until it is subscribed, and from then on polls
 * again after each answer, acknowledging what it got, and counts the publications.
 *
 * Build: cc -O2 -o polls polls.c
 * Run:   polls -p port -n clients -P path -b body -c n -r rate [-h -s -e -t -z -w -a -Z as for rtload]
 */
#include "load.h"

#define ROOM (1 << 16)

enum state { HANDSHAKE, CONNECTING, CONNECTED, SUBSCRIBING, SUBSCRIBED, READY };
struct client {
    int fd, dialed, polling;
    enum state state;
    long last_id;           /* of the last packet that has come */
    char key[80];
    struct pending out;
    char *in; int inlen;    /* an answer that is not whole yet */
    char *text; int textlen;    /* decoded bytes in which a marker or a word may still be incomplete */
};

static const char *channel = "c";

static void request(struct client *c, const char *action, const char *body) {
    char rq[1024];
    queue(&c->out, rq, snprintf(rq, sizeof rq, "POST /csp/%s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
                                action, host, port, strlen(body), body));
    flush(&c->out, c->fd);
}
static void poll_again(struct client *c) {
    char action[160]; snprintf(action, sizeof action, "comet?s=%s&a=%ld", c->key, c->last_id);
    c->polling = 1; request(c, action, "");
}
static void send_packet(struct client *c, int id, const char *frame) {
    char action[160], body[512]; snprintf(action, sizeof action, "send?s=%s&a=%ld", c->key, c->last_id);
    snprintf(body, sizeof body, "[[%d, 0, \"%s\\r\\n\"]]", id, frame);
    c->polling = 0; request(c, action, body);
}

static int base64(char *out, const char *s, int n) {
    unsigned bits = 0; int have = 0, o = 0;
    for (int i = 0; i < n; i++) {
        char ch = s[i];
        int v = ch >= 'A' && ch <= 'Z' ? ch - 'A' : ch >= 'a' && ch <= 'z' ? ch - 'a' + 26 : ch >= '0' && ch <= '9' ? ch - '0' + 52
              : ch == '-' || ch == '+' ? 62 : ch == '_' || ch == '/' ? 63 : -1;
        if (v < 0) continue;
        bits = bits << 6 | v; have += 6;
        if (have >= 8) { have -= 8; out[o++] = (char)(bits >> have); }
    }
    return o;
}
/* the packets [id, encoding, "data"] of a batch, appended to the client's text */
static void take_packets(struct client *c, const char *s, const char *end) {
    while ((s = memchr(s, '[', end - s))) {
        long id = strtol(++s, NULL, 10); const char *open, *close;
        if (id <= 0) continue;
        if (!(open = memchr(s, '"', end - s)) || !(close = memchr(open + 1, '"', end - open - 1))) return;
        int plain = memmem(s, open - s, ", 0", 3) || memmem(s, open - s, ",0", 2), n = (int)(close - open - 1);
        c->text = realloc(c->text, c->textlen + n + 1);
        if (plain) { memcpy(c->text + c->textlen, open + 1, n); c->textlen += n; }
        else c->textlen += base64(c->text + c->textlen, open + 1, n);
        if (id > c->last_id) c->last_id = id;
        s = close + 1;
    }
}
static int has(struct client *c, const char *word) { return c->textlen && memmem(c->text, c->textlen, word, strlen(word)); }

/* what follows on an answer; 0 when the client cannot go on */
static int follow(struct client *c, int i, char *body, char *end, int *nready) {
    char frame[256]; int found;
    if (c->polling) take_packets(c, body, end);
    switch (c->state) {
        case HANDSHAKE: {
            char *k = memmem(body, end - body, "session", 7), *q;
            if (!k || !(k = strchr(k + 8, '"')) || !(q = strchr(k + 1, '"')) || q - k > 79) return 0;
            memcpy(c->key, k + 1, q - k - 1);
            snprintf(frame, sizeof frame, "[1,\\\"CONNECT\\\",{\\\"cookie_string\\\":\\\"a=%d\\\",\\\"payload\\\":\\\"null\\\"}]", i);
            c->state = CONNECTING; send_packet(c, 1, frame); return 1;
        }
        case CONNECTING: c->state = CONNECTED; break;
        case CONNECTED:
            if (!has(c, "CONNECTED")) break;
            snprintf(frame, sizeof frame, "[2,\\\"SUBSCRIBE\\\",{\\\"channel_name\\\":\\\"%s\\\"}]", channel);
            c->textlen = 0; c->state = SUBSCRIBING; send_packet(c, 2, frame); return 1;
        case SUBSCRIBING: c->state = SUBSCRIBED; break;
        case SUBSCRIBED: if (has(c, "\"SUBSCRIBE\"")) { c->state = READY; c->textlen = 0; ++*nready; } break;
        case READY: {
            int tail = c->textlen ? scan(c->text, c->textlen, &found) : 0;
            if (tail) memmove(c->text, c->text + c->textlen - tail, tail);
            c->textlen = tail;
        }
    }
    poll_again(c); return 1;
}
/* one answer after the other out of what has come; 0 when the client cannot go on */
static int take(struct client *c, int i, const char *data, int n, int *nready) {
    c->in = realloc(c->in, c->inlen + n + 1); memcpy(c->in + c->inlen, data, n); c->inlen += n; c->in[c->inlen] = 0;
    char *body = memmem(c->in, c->inlen, "\r\n\r\n", 4), *length = strcasestr(c->in, "content-length:");
    if (!body) return 1;
    char *end = body + 4 + (length && length < body ? atoi(length + 15) : 0);
    if (end > c->in + c->inlen) return 1;
    if (strncmp(c->in, "HTTP/1.1 200", 12)) { fprintf(stderr, "client %d was refused: %.300s\n", i, c->in); return 0; }
    int goes_on = follow(c, i, body + 4, end, nready);
    c->inlen = 0; free(c->in); c->in = NULL; return goes_on;
}

int main(int argc, char **argv) {
    int o; signal(SIGPIPE, SIG_IGN);
    while ((o = getopt(argc, argv, "H:p:n:w:a:P:b:c:j:h:r:s:e:t:z:Z:")) != -1) switch (o) {
        case 'H': host = optarg; break; case 'p': port = atoi(optarg); break; case 'n': nconn = atoi(optarg); break;
        case 'w': window = atoi(optarg); break; case 'a': spread = atoi(optarg); break;
        case 'P': post_path = optarg; break; case 'b': post_body = optarg; break; case 'c': post_count = atol(optarg); break;
        case 'j': publishers = atoi(optarg) > 64 ? 64 : atoi(optarg); break; case 'h': expand(post_headers, sizeof post_headers, optarg, 0); break;
        case 'r': post_rate = atof(optarg); break; case 's': payload_bytes = atoi(optarg); break; case 'e': expect = atol(optarg); break;
        case 't': limit_s = atof(optarg); break; case 'z': settle_s = atof(optarg); break; case 'Z': server_pid = atoi(optarg); break;
        default: fputs("see the head of polls.c\n", stderr); return 2;
    }
    if (!expect) expect = post_count;
    receivers = nconn;
    int ep = epoll_create1(0), opened = 0; struct epoll_event evs[512];
    struct client *cs = calloc(nconn, sizeof *cs); char *buf = malloc(ROOM);
    struct run run = begin();
    for (;;) {
        while (opened < nconn && opened - run.ready - run.failed < window) {
            struct epoll_event e = { EPOLLIN | EPOLLOUT, { .u32 = opened } };
            cs[opened].fd = dial(opened, 1); epoll_ctl(ep, EPOLL_CTL_ADD, cs[opened].fd, &e); opened++;
        }
        int n = epoll_wait(ep, evs, 512, 20);
        for (int k = 0; k < n; k++) {
            int i = evs[k].data.u32; struct client *c = &cs[i]; struct epoll_event e = { EPOLLIN, { .u32 = i } };
            if (c->fd < 0) continue;
            if (!c->dialed && (evs[k].events & EPOLLOUT)) { c->dialed = 1; request(c, "handshake?ct=text/plain", "{}"); epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e); }
            if (!(evs[k].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
            ssize_t r = read(c->fd, buf, ROOM);
            if (r < 0 && errno == EAGAIN) continue;
            if (r > 0 && take(c, i, buf, (int)r, &run.ready)) continue;
            close(c->fd); c->fd = -1; run.failed++; run.ready -= c->state == READY;
        }
        double elapsed = (now_ns() - run.begun) / 1e9;
        if (!run.published && opened == nconn && run.ready + run.failed >= nconn) {
            if (!run.connect_s) run.connect_s = elapsed;
            if (elapsed - run.connect_s < settle_s) continue;
            all_ready(&run);
            if (post_count) start_publishers();
            else if (!expect) break;
        }
        if (run.published && received >= expect * receivers) break;
        if (elapsed > limit_s) break;
    }
    stop_publishers();
    return report(&run);
}
