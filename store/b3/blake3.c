/* Upstream BLAKE3, from the folder that configure found. */
#include <blake3.c>
