/*
 * cmocka_all - cmocka and the headers that it wants before itself.
 */
#ifndef ASOF_TESTS_LIB_CMOCKA_ALL_H
#define ASOF_TESTS_LIB_CMOCKA_ALL_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
