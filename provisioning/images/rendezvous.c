// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * dom0's end of the virtual lab's rendezvous: the controller speaks to the machine only while virtual time stands
 * still, so that what it says, and not when, decides what happens (lab/rendezvous.rs is the other end).
 *
 * Requests and replies lie in the memory of an ivshmem device, which the controller reads and writes as a file. To
 * ask for the next request the agent tells the machine's pvpanic device of a panic that is none; QEMU stops the machine some
 * instructions later. (A watchdog would do, but for a second after it has fired QEMU keeps a timer of the host's clock, for
 * which its main thread gets up in the midst of a request.) Where exactly does not matter: the agent counts to SPINS, whether or not the machine stood
 * still in between.
 *
 * It must not sleep instead. Around a stop QEMU's main thread goes round several times, and where it finds the virtual
 * CPU halted before that one has accounted for what it last executed, it skips idle time by too much (QEMU 7.2,
 * icount_start_warp_timer): the next timer is late by some microseconds, now and then. A CPU that counts is not halted.
 * Nor may it use a device, which takes the lock that the main thread needs to stop the machine.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define SIZE (16u << 20)
#define INPUT 4096u
#define OUTPUT (8u << 20)
#define SLICE (SIZE - OUTPUT)
/* Some 20 ms of virtual time: longer than it takes QEMU to stop, and to finish what it does after it went on. */
#define SPINS 5000000
/* So often may the machine be found not to have stood still; each time costs exactness, so it should never be. */
#define ROUNDS 100
#define CHANNELS 16
/* An ISA pvpanic device: its port, and the event at which QEMU stops the machine. */
#define PVPANIC 0x505
#define PANICKED 0x01
#define MAGIC 0x315a5644524d4256ull

enum op { RUN = 1, MORE, OPEN, SEND, RECEIVE, CLOSE };
enum outcome { DONE, DEADLINE, ENDED, REFUSED };

struct header {
	uint64_t magic;
	/* Counted up by the controller, and by the agent when it has replied. */
	uint64_t asked, replied;
	uint32_t op, channel;
	uint64_t deadline_ms;
	/* What the controller gives: a command or a line, then what goes to its standard input. */
	uint64_t text_len, input_len;
	/* What the agent gives: how it went, and two outputs behind one another, from `offset` on in slices. */
	uint32_t outcome;
	int32_t status;
	uint64_t out_len, err_len, offset;
	/* The controller's last word: from here on it uses the network. */
	uint64_t leave;
	/* When the request was taken up and when it was done, by the time-stamp counter: virtual time. */
	uint64_t began, ended;
};

struct buffer { char *data; size_t len, room; };

struct child {
	pid_t pid;
	int in, out, err;
	struct buffer lines, said;
	/* So much of `lines` holds no line end. */
	size_t searched;
};

static volatile struct header *shared;
static char *memory;
static struct buffer reply;
static size_t reply_out;
static struct child channels[CHANNELS];

static void die(const char *what)
{
	FILE *kmsg = fopen("/dev/kmsg", "w");

	if (kmsg)
		fprintf(kmsg, "vifbench: rendezvous: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void append(struct buffer *buffer, const char *data, size_t len)
{
	if (buffer->len + len > buffer->room) {
		buffer->room = 2 * (buffer->len + len) + 4096;
		buffer->data = realloc(buffer->data, buffer->room);
		if (!buffer->data)
			die("out of memory");
	}
	memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

/* One read into a buffer; 0 at its end. */
static ssize_t take(int fd, struct buffer *buffer)
{
	char block[65536];
	ssize_t n = read(fd, block, sizeof(block));

	if (n > 0)
		append(buffer, block, n);
	return n;
}

static int start(struct child *child, const char *command)
{
	int in[2], out[2], err[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		die("pipe");
	child->pid = fork();
	if (child->pid < 0)
		die("fork");
	if (child->pid == 0) {
		setpgid(0, 0);
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(err[1], 2);
		signal(SIGPIPE, SIG_DFL);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	setpgid(child->pid, child->pid);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	child->in = in[1];
	child->out = out[0];
	child->err = err[0];
	child->lines.len = child->said.len = child->searched = 0;
	return 0;
}

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int ended(struct child *child)
{
	int status;

	shut(&child->in);
	shut(&child->out);
	shut(&child->err);
	if (waitpid(child->pid, &status, 0) < 0)
		die("waitpid");
	child->pid = 0;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The end of the first line; NULL if there is none. A line may have megabytes, and comes in pieces. */
static char *line_end(struct child *child)
{
	size_t from = child->searched;

	child->searched = child->lines.len;
	if (from == child->lines.len)
		return NULL;
	return memchr(child->lines.data + from, '\n', child->lines.len - from);
}

/*
 * Feeds and drains a child until both its outputs have ended, or a whole line is there where one is wanted.
 * Returns false when the deadline passed.
 */
static int attend(struct child *child, const char *input, size_t len, int64_t end, int line)
{
	while (child->out >= 0 || child->err >= 0) {
		struct pollfd fds[3] = {
			{ .fd = child->out, .events = POLLIN },
			{ .fd = child->err, .events = POLLIN },
			{ .fd = len ? child->in : -1, .events = POLLOUT },
		};
		int64_t left = end - now_ms();

		if (line && line_end(child)) {
			child->searched = 0;
			return 1;
		}
		if (line && child->out < 0)
			return 1;
		if (left <= 0)
			return 0;
		if (poll(fds, 3, left > 1000000 ? 1000000 : left) < 0 && errno != EINTR)
			die("poll");
		if (fds[0].revents && take(child->out, &child->lines) <= 0)
			shut(&child->out);
		if (fds[1].revents && take(child->err, &child->said) <= 0)
			shut(&child->err);
		if (fds[2].revents) {
			ssize_t n = write(child->in, input, len);

			if (n > 0) {
				input += n;
				len -= n;
			} else if (errno != EAGAIN && errno != EINTR) {
				len = 0;
			}
			if (!len && !line)
				shut(&child->in);
		}
	}
	return 1;
}

static void answer(enum outcome outcome, int status, const struct buffer *out, const struct buffer *err)
{
	reply.len = 0;
	if (out)
		append(&reply, out->data ? out->data : "", out->len);
	reply_out = reply.len;
	if (err)
		append(&reply, err->data ? err->data : "", err->len);
	shared->outcome = outcome;
	shared->status = status;
	shared->out_len = reply_out;
	shared->err_len = reply.len - reply_out;
	shared->offset = 0;
}

static void slice(uint64_t offset)
{
	size_t len = offset < reply.len ? reply.len - offset : 0;

	if (len)
		memcpy(memory + OUTPUT, reply.data + offset, len < SLICE ? len : SLICE);
}

static void run(const char *command, const char *input, size_t len, int64_t end)
{
	struct child child = {};

	start(&child, command);
	if (!len)
		shut(&child.in);
	else
		fcntl(child.in, F_SETFL, O_NONBLOCK);
	if (attend(&child, input, len, end, 0)) {
		int status = ended(&child);

		answer(DONE, status, &child.lines, &child.said);
	} else {
		kill(-child.pid, SIGKILL);
		ended(&child);
		answer(DEADLINE, 0, &child.lines, &child.said);
	}
	free(child.lines.data);
	free(child.said.data);
}

/* The next whole line of a channel, taken out of its buffer; false if there is none. */
static int next_line(struct child *child)
{
	char *end = line_end(child);
	struct buffer line;

	if (!end)
		return 0;
	line.data = child->lines.data;
	line.len = end - child->lines.data;
	answer(DONE, 0, &line, NULL);
	child->lines.len -= line.len + 1;
	child->searched = 0;
	memmove(child->lines.data, end + 1, child->lines.len);
	return 1;
}

static void converse(enum op op, struct child *child, const char *text, size_t len, int64_t end)
{
	if (op != CLOSE) {
		while (len) {
			ssize_t n = write(child->in, text, len);

			if (n < 0 && errno != EINTR)
				break;
			text += n > 0 ? n : 0;
			len -= n > 0 ? n : 0;
		}
	}
	if (op == SEND) {
		if (!len) {
			answer(DONE, 0, NULL, NULL);
			return;
		}
	} else if (op == RECEIVE) {
		int in_time = attend(child, NULL, 0, end, 1);

		if (next_line(child))
			return;
		if (!in_time) {
			answer(DEADLINE, 0, NULL, &child->said);
			return;
		}
	} else {
		shut(&child->in);
		if (!attend(child, NULL, 0, end, 0)) {
			kill(-child->pid, SIGKILL);
			ended(child);
			answer(DEADLINE, 0, NULL, &child->said);
			return;
		}
	}
	/* It has ended, as it should only when closed. */
	answer(op == CLOSE ? DONE : ENDED, ended(child), NULL, &child->said);
}

/* Stays on the processor. */
static void spin(void)
{
	for (unsigned int i = 0; i < SPINS; i++)
		__asm__ volatile("");
}

/* Lets the machine stand still until there is a request, or the network is to be used. */
static void wait_for_request(int port)
{
	const unsigned char panicked = PANICKED;

	/* Told during a request: nobody would let the machine go on. */
	if (shared->leave)
		return;
	if (pwrite(port, &panicked, 1, PVPANIC) != 1)
		die("pvpanic");
	for (int i = 0; i < ROUNDS; i++) {
		spin();
		if (shared->leave || shared->asked != shared->replied)
			return;
	}
	errno = ETIMEDOUT;
	die("the machine did not stand still");
}

static void serve(void)
{
	char *text = memory + INPUT, *input;
	size_t text_len = shared->text_len, input_len = shared->input_len;
	int64_t end = now_ms() + (int64_t)shared->deadline_ms;
	uint32_t number = shared->channel;
	char *command;

	if (text_len > OUTPUT - INPUT || input_len > OUTPUT - INPUT - text_len) {
		answer(REFUSED, 0, NULL, NULL);
		return;
	}
	input = text + text_len;
	switch (shared->op) {
	case RUN:
	case OPEN:
		command = strndup(text, text_len);
		if (!command)
			die("out of memory");
		if (shared->op == RUN) {
			run(command, input, input_len, end);
		} else {
			for (number = 0; number < CHANNELS && channels[number].pid; number++)
				;
			if (number == CHANNELS) {
				answer(REFUSED, 0, NULL, NULL);
			} else {
				start(&channels[number], command);
				answer(DONE, (int)number, NULL, NULL);
			}
		}
		free(command);
		break;
	case MORE:
		/* `offset` says from where. */
		slice(shared->offset);
		return;
	default:
		if (number >= CHANNELS || !channels[number].pid) {
			answer(REFUSED, 0, NULL, NULL);
			break;
		}
		converse(shared->op, &channels[number], text, text_len, end);
	}
	slice(0);
}

int main(int argc, char **argv)
{
	int fd, port;

	if (argc != 2) {
		fprintf(stderr, "usage: rendezvous RESOURCE\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(argv[1]);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	port = open("/dev/port", O_WRONLY | O_CLOEXEC);
	if (port < 0)
		die("/dev/port");
	shared = (struct header *)memory;
	shared->magic = MAGIC;
	for (;;) {
		wait_for_request(port);
		/* Whoever uses the machine from here on does so over its network. */
		if (shared->leave)
			break;
		shared->began = __rdtsc();
		serve();
		shared->ended = __rdtsc();
		shared->replied = shared->asked;
	}
	return 0;
}
