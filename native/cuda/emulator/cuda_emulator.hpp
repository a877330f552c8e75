// CUDA C++ for a compiler and a machine without CUDA: everything that kernels and their launchers may use.
#pragma once

#include "cuda/emulator/device_functions.hpp"
#include "cuda/emulator/keywords.hpp"
#include "cuda/emulator/runtime_api.hpp"
