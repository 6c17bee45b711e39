// SPDX-License-Identifier: GPL-2.0
/*
 * Attaches an XDP program that passes, or drops, every packet, to an interface
 * for as long as it runs.
 *
 *	xdp pass|drop INTERFACE NAMESPACE
 *
 * Writes a line when the program is attached. Ends with 2 if it cannot be.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static void die(const char *what)
{
	fprintf(stderr, "xdp: %s: %s\n", what, strerror(errno));
	exit(2);
}

int main(int argc, char **argv)
{
	union bpf_attr load = { .prog_type = BPF_PROG_TYPE_XDP }, link = {};
	struct bpf_insn program[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int namespace, fd;

	if (argc != 4) {
		fprintf(stderr, "xdp: pass|drop INTERFACE NAMESPACE\n");
		return 2;
	}
	namespace = open(argv[3], O_RDONLY);
	if (namespace < 0 || setns(namespace, CLONE_NEWNET))
		die(argv[3]);
	if (!strcmp(argv[1], "drop"))
		program[0].imm = XDP_DROP;

	load.insns = (uintptr_t)program;
	load.insn_cnt = sizeof(program) / sizeof(program[0]);
	load.license = (uintptr_t)"GPL";
	fd = bpf(BPF_PROG_LOAD, &load);
	if (fd < 0)
		die("BPF_PROG_LOAD");

	link.link_create.prog_fd = (unsigned int)fd;
	link.link_create.target_ifindex = if_nametoindex(argv[2]);
	link.link_create.attach_type = BPF_XDP;
	link.link_create.flags = XDP_FLAGS_DRV_MODE;
	if (!link.link_create.target_ifindex)
		die(argv[2]);
	if (bpf(BPF_LINK_CREATE, &link) < 0)
		die("BPF_LINK_CREATE");
	puts("attached");
	fflush(stdout);
	pause();
	return 0;
}
