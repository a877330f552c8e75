// COVN_HD: a function that both the host and the device may call.
#pragma once

#ifdef __CUDACC__
#define COVN_HD __host__ __device__
#else
#define COVN_HD
#endif
