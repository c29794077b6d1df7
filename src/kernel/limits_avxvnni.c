/* limits_avxvnni.c - The limits of level avxvnni. */
#define LIMITS_OPS limits_avxvnni
#include "kernel/limits_impl.h"
