"""covn's kernels as a shared library: built by cmake, called by ctypes on the memory of torch's tensors."""

import ctypes
import os
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]

_pointer, _count, _int, _double, _float = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int, ctypes.c_double, ctypes.c_float

# What each function of covn_gpu_bench.cu takes. Those of ENQUEUED take a stream besides, and say what went wrong.
ENQUEUED = {
    "score": [_int, _pointer, _count, _count, _pointer, _double, _pointer, _pointer],
    "sample": [_int, _pointer, _count, _count, _pointer, _double, _count, _double, _double, _count, _count]
    + [_pointer] * 6,
    "pair": [_int, _pointer, _pointer, _count, _count, _double, _pointer],
    "pairwise": [_pointer, _count, _count, _pointer, _count, _pointer, _pointer],
    "tails": [_pointer, _pointer, _count, _pointer, _count, _int, _pointer, _pointer],
    "rollouts": [_count, _count, _pointer, _count, _count, _count] + [_pointer] * 4,
    "hidden": [_int, _pointer, _pointer, _count, _count, _count, _pointer, _double, _double] + [_pointer] * 4,
}
PLAIN = {
    "make_stream": (_pointer, []),
    "sizes": (None, [_pointer]),
    "score_workspace": (_count, [_int, _count, _count]),
    "sample_workspace": (_count, [_int, _count, _count]),
    "sample_uniforms": (None, [_count, ctypes.c_uint32, ctypes.c_uint32, _count, _pointer]),
    "pair_parts": (_count, [_count]),
    "pair_finish": (None, [_pointer, _count, _float, _float, _double, _pointer]),
    "tail_unit": (_int, [_double, _count]),
    "rollout_model": (_pointer, [_count, _count, _pointer, _pointer]),
    "rollout_tables": (None, [_pointer, _pointer]),
    "rollout_parts": (_count, [_count, _count]),
    "rollout_best": (None, [_pointer, _count, _pointer]),
    "rollout_expected": (ctypes.c_char_p, [_pointer, _count, _count, _count, _pointer]),
    "hidden_workspace": (_count, [_int, _count, _count, _count]),
    "hidden_finish": (None, [_pointer, _pointer, _count, _double, _pointer]),
}
STRUCTS = ("score", "drawn_row", "hidden_total", "pair_state", "tail_sums", "rollout_part")


def architecture(capability):
    """The compute capability that nvcc compiles for: 9.0 with the instructions that only it has."""
    major, minor = capability
    return "90a" if (major, minor) == (9, 0) else f"{major}{minor}"


def find_nvcc():
    homes = [os.environ[name] for name in ("CUDA_PATH", "CUDA_HOME") if os.environ.get(name)]
    found = [os.environ.get("CUDACXX"), *(f"{home}/bin/nvcc" for home in homes), "nvcc", "/usr/local/cuda/bin/nvcc"]
    return next((path for path in map(shutil.which, filter(None, found)) if path), None)


def build(arch):
    """The path of the library for one architecture, or for the emulator where there is none."""
    target = "covn_gpu_bench" if arch else "covn_gpu_bench_emulated"
    folder = ROOT / "build-cmake" / (f"gpu-{arch}" if arch else "core")
    settings = []
    if arch:
        nvcc = find_nvcc()
        if nvcc is None:
            raise SystemExit("gpu.py: expected nvcc in PATH, CUDA_PATH or /usr/local/cuda but found nothing")
        settings = ["-DCOVN_CUDA=ON", f"-DCMAKE_CUDA_COMPILER={nvcc}", f"-DCOVN_CUDA_ARCHITECTURES={arch}"]
    commands = [
        ["cmake", "-S", ROOT, "-B", folder, *settings],
        ["cmake", "--build", folder, "--target", target, "--parallel", str(os.cpu_count() or 1)],
    ]
    for command in commands:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{done.stdout}\ngpu.py: the build of {target} failed")
    return next(path for path in folder.rglob(f"lib{target}.so"))


class Library:
    """Functions by their names without `covn_`. A tensor stands for its memory, None for a null pointer."""

    def __init__(self, path, stream=None):
        self._library = ctypes.CDLL(str(path))
        for name, arguments in ENQUEUED.items():
            function = getattr(self._library, f"covn_{name}")
            function.restype, function.argtypes = ctypes.c_char_p, [*arguments, _pointer]
        for name, (result, arguments) in PLAIN.items():
            function = getattr(self._library, f"covn_{name}")
            function.restype, function.argtypes = result, arguments
        self._library.covn_synchronize.restype = ctypes.c_char_p
        made = None if stream else self._library.covn_make_stream()
        self._stream = stream or (lambda: made)  # a function: torch's current one
        sizes = (ctypes.c_uint64 * len(STRUCTS))()
        self._library.covn_sizes(sizes)
        self.sizes = dict(zip(STRUCTS, sizes))

    def enqueue(self, name, *arguments):
        self.check(getattr(self._library, f"covn_{name}")(*map(_memory, arguments), self._stream()), name)

    def call(self, name, *arguments):
        return getattr(self._library, f"covn_{name}")(*map(_memory, arguments))

    def synchronize(self):
        self.check(self._library.covn_synchronize(), "waiting")

    @staticmethod
    def check(said, name):
        if said is not None:
            raise SystemExit(f"gpu.py: covn {name}: {said.decode()}")


def _memory(argument):
    return argument.data_ptr() if hasattr(argument, "data_ptr") else argument
