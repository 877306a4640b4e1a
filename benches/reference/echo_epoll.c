/* The TCP reference: edge-triggered epoll, N threads that share one listener, a 64 KiB read
 * buffer for each thread, and nothing kept for an idle stream but 24 bytes in a table.
 * Usage: echo_epoll PORT THREADS. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024, EVENTS = 64, ACCEPTS = 64 };

/* What the peer has not taken yet; while there is some, nothing more is read. */
struct unsent {
    char *bytes;
    size_t from, to;
};

static struct unsent *streams; /* by descriptor; a page is touched when a stream needs it */
static int listener;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int epoll, int operation, int fd, unsigned events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, operation, fd, &event) < 0)
        fail("epoll_ctl");
}

static void forget(int fd)
{
    free(streams[fd].bytes);
    memset(&streams[fd], 0, sizeof streams[fd]);
    close(fd);
}

static void accept_some(int epoll)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int on = 1;
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
    }
}

static void keep(int epoll, int fd, const char *bytes, size_t length)
{
    struct unsent *unsent = &streams[fd];
    unsent->bytes = malloc(length);
    if (!unsent->bytes)
        fail("malloc");
    memcpy(unsent->bytes, bytes, length);
    unsent->from = 0;
    unsent->to = length;
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

/* Reads until a read leaves the buffer short, and echoes at once. */
static void echo(int epoll, int fd, unsigned events, char *buffer)
{
    for (;;) {
        ssize_t got = recv(fd, buffer, READ_BYTES, 0);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            forget(fd);
            return;
        }
        ssize_t put = send(fd, buffer, got, MSG_NOSIGNAL);
        if (put < 0 && errno != EAGAIN) {
            forget(fd);
            return;
        }
        if (put < got) {
            size_t sent = put < 0 ? 0 : put;
            keep(epoll, fd, buffer + sent, got - sent);
            return;
        }
        /* A short read emptied the socket, unless the end of the stream waits behind it. */
        if (got < READ_BYTES && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
            return;
    }
}

/* Changing the watch back to reading raises a new edge if bytes are waiting. */
static void send_kept(int epoll, int fd)
{
    struct unsent *unsent = &streams[fd];
    ssize_t put =
        send(fd, unsent->bytes + unsent->from, unsent->to - unsent->from, MSG_NOSIGNAL);
    if (put < 0 && errno == EAGAIN)
        return;
    if (put < 0) {
        forget(fd);
        return;
    }
    unsent->from += put;
    if (unsent->from < unsent->to)
        return;
    free(unsent->bytes);
    unsent->bytes = NULL;
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
}

static void *serve(void *unused)
{
    (void)unused;
    struct epoll_event events[EVENTS];
    char *buffer = malloc(READ_BYTES);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || !buffer)
        fail("epoll_create1");
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLEXCLUSIVE);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_some(epoll);
            else if (streams[fd].bytes)
                send_kept(epoll, fd);
            else
                echo(epoll, fd, events[i].events, buffer);
        }
    }
    return NULL;
}

int main(int count, char **words)
{
    int on = 1;
    int threads = count > 2 ? atoi(words[2]) : 1;
    struct rlimit files;
    struct sockaddr_in local = {.sin_family = AF_INET};
    if (count < 2)
        return 2;
    getrlimit(RLIMIT_NOFILE, &files);
    streams = calloc(files.rlim_cur, sizeof *streams);
    local.sin_port = htons(atoi(words[1]));
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!streams || bind(listener, (struct sockaddr *)&local, sizeof local) < 0)
        fail("bind");
    if (listen(listener, 4096) < 0)
        fail("listen");
    for (int i = 1; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, NULL))
            fail("pthread_create");
    }
    serve(NULL);
}
