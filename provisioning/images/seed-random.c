// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Credits the kernel's random pool with bytes made from a seed, so that sshd starts at once and every
 * boot with the same seed draws the same numbers. Fit for a laboratory without secrets, for nothing else.
 */
#include <fcntl.h>
#include <linux/random.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

int main(int argc, char **argv)
{
	struct { struct rand_pool_info head; uint64_t bytes[8]; } pool = {
		.head = { .entropy_count = 512, .buf_size = 64 },
	};
	uint64_t state = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	int fd = open("/dev/random", O_WRONLY);

	for (int i = 0; i < 8; i++) {
		/* splitmix64 */
		uint64_t z = (state += 0x9e3779b97f4a7c15u);
		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		pool.bytes[i] = z ^ (z >> 31);
	}
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool)) {
		perror("seed-random: /dev/random");
		return 1;
	}
	return 0;
}
