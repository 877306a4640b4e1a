/* The UDP reference: N threads, each with a socket of its own (SO_REUSEPORT) and blocking calls.
 * Usage: echo_udp PORT MODE THREADS, where MODE is
 *   mmsg   recvmmsg and sendmmsg, 64 datagrams a call, replies not joined
 *   gro    the same with UDP_GRO on; what came coalesced goes back as one UDP_SEGMENT send
 * */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* A slot is a little more than 64 KiB, so that slots do not share their cache sets. */
enum { BATCH = 64, DATAGRAM_BYTES = 65536, SLOT_BYTES = DATAGRAM_BYTES + 832 };

union control {
    char room[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec spans[BATCH];
    struct sockaddr_in peers[BATCH];
    union control controls[BATCH];
};

static int port, coalesce;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int open_socket(void)
{
    int on = 1, buffer_bytes = 4 << 20;
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    if (bind(fd, (struct sockaddr *)&local, sizeof local) < 0)
        fail("bind");
    if (coalesce && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) < 0)
        fail("UDP_GRO");
    return fd;
}

static void ready_to_receive(struct batch *batch, char *slots, int count)
{
    for (int i = 0; i < count; i++) {
        struct msghdr *header = &batch->messages[i].msg_hdr;
        batch->spans[i].iov_base = slots + (size_t)i * SLOT_BYTES;
        batch->spans[i].iov_len = DATAGRAM_BYTES;
        header->msg_iov = &batch->spans[i];
        header->msg_iovlen = 1;
        header->msg_name = &batch->peers[i];
        header->msg_namelen = sizeof batch->peers[i];
        header->msg_control = coalesce ? &batch->controls[i] : NULL;
        header->msg_controllen = coalesce ? sizeof batch->controls[i] : 0;
    }
}

/* The size of the datagrams that the kernel joined into this message, or 0. */
static int joined_size(struct msghdr *header)
{
    int size = 0;
    struct cmsghdr *item = header->msg_controllen ? CMSG_FIRSTHDR(header) : NULL;
    if (item && item->cmsg_level == IPPROTO_UDP && item->cmsg_type == UDP_GRO)
        memcpy(&size, CMSG_DATA(item), sizeof size);
    return size;
}

static void ready_to_send(struct batch *batch, int count)
{
    for (int i = 0; i < count; i++) {
        struct msghdr *header = &batch->messages[i].msg_hdr;
        unsigned length = batch->messages[i].msg_len;
        int size = joined_size(header);
        batch->spans[i].iov_len = length;
        header->msg_control = NULL;
        header->msg_controllen = 0;
        if (size > 0 && (unsigned)size < length) {
            uint16_t segment = size;
            header->msg_control = &batch->controls[i];
            header->msg_controllen = CMSG_SPACE(sizeof segment);
            struct cmsghdr *item = CMSG_FIRSTHDR(header);
            item->cmsg_level = IPPROTO_UDP;
            item->cmsg_type = UDP_SEGMENT;
            item->cmsg_len = CMSG_LEN(sizeof segment);
            memcpy(CMSG_DATA(item), &segment, sizeof segment);
        }
    }
}

static void *serve(void *unused)
{
    (void)unused;
    int fd = open_socket(), used = BATCH;
    struct batch *batch = calloc(1, sizeof *batch);
    char *slots = malloc((size_t)BATCH * SLOT_BYTES);
    if (!batch || !slots)
        fail("malloc");
    for (;;) {
        ready_to_receive(batch, slots, used);
        used = recvmmsg(fd, batch->messages, BATCH, MSG_WAITFORONE, NULL);
        if (used < 0) {
            used = BATCH;
            continue;
        }
        ready_to_send(batch, used);
        for (int sent = 0; sent < used;) {
            int now = sendmmsg(fd, batch->messages + sent, used - sent, 0);
            sent += now > 0 ? now : 1; /* the datagram that was refused is dropped */
        }
    }
    return NULL;
}

int main(int count, char **words)
{
    int threads = count > 3 ? atoi(words[3]) : 1;
    if (count < 3)
        return 2;
    port = atoi(words[1]);
    coalesce = strcmp(words[2], "gro") == 0;
    for (int i = 1; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, NULL))
            fail("pthread_create");
    }
    serve(NULL);
}
