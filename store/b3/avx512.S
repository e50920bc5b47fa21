/* Upstream BLAKE3, from the folder that configure found. */
#include <blake3_avx512_x86-64_unix.S>
