/* Upstream BLAKE3, from the folder that configure found. */
#include <blake3_sse2_x86-64_unix.S>
