/* The kernel's short names of types, for user space. */
#ifndef MODEL_COMPAT_TYPES_H
#define MODEL_COMPAT_TYPES_H

#include_next <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

#endif
