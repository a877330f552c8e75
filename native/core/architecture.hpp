// Which kernels can be compiled: 64-bit x86 or Arm; elsewhere only the portable ones.
#pragma once

#if defined(__x86_64__) || (defined(_M_X64) && !defined(_M_ARM64EC))
#define COVN_ARCH_X86 1
#else
#define COVN_ARCH_X86 0
#endif

#if defined(__aarch64__) || defined(_M_ARM64)
#define COVN_ARCH_ARM64 1
#else
#define COVN_ARCH_ARM64 0
#endif
