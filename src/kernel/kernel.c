/* kernel.c - The levels, and which of them this processor and operating system can run.
 *
 * A level asks for instructions (CPUID) and for registers that the system saves (XCR0): without
 * the second, the first AVX-512 instruction would end the process.  A new level needs a row in
 * `levels`, its files vec_LEVEL.c and matmul_LEVEL.c, and its name in kernel.h.  On ARM the system tells what
 * the processor has. */
#include "kernel/kernel.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#include "kernel/kern_int.h"

#if defined(__x86_64__)

#define BIT(word, n) ((word) >> (n)&1u)

/* The state components that the system saves on a task switch. */
static uint64_t saved_state(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool has_avx2(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return false;
    bool osxsave = BIT(c, 27), avx = BIT(c, 28), fma = BIT(c, 12), f16c = BIT(c, 29);
    if (!osxsave || !avx || !fma || !f16c || (saved_state() & 6) != 6)
        return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    return BIT(b, 5) && BIT(b, 3) && BIT(b, 8); /* AVX2, BMI1, BMI2 */
}

/* AVX-VNNI: on desktop and laptop processors that have no AVX-512. */
static bool has_avxvnni(void)
{
    uint32_t a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && BIT(a, 4);
}

static bool has_avx512(void)
{
    uint32_t a, b, c, d;
    if (!has_avx2() || (saved_state() & 0xe6) != 0xe6)
        return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    return BIT(b, 16) && BIT(b, 17) && BIT(b, 30) && BIT(b, 31) && BIT(c, 11); /* F DQ BW VL VNNI */
}

#elif defined(__aarch64__)

/* Bits of the kernel's words about the processor (Linux, asm/hwcap.h): what it names it also saves. */
static bool has_dotprod(void)
{
    return getauxval(AT_HWCAP) >> 20 & 1; /* ASIMDDP */
}

static bool has_i8mm(void)
{
    return has_dotprod() && getauxval(AT_HWCAP2) >> 13 & 1; /* I8MM */
}

#endif

bool kern_level_possible(enum kern_level level)
{
    switch (level) {
    case KERN_REF: return true;
#if defined(__x86_64__)
    case KERN_AVX2: return has_avx2();
    case KERN_AVXVNNI: return has_avxvnni();
    case KERN_AVX512: return has_avx512();
#elif defined(__aarch64__)
    case KERN_NEON: return has_dotprod();
    case KERN_I8MM: return has_i8mm();
#endif
    default: return false;
    }
}

static const char *const names[KERN_LEVELS_END] = {"ref", "avx2", "avxvnni", "avx512", "neon", "i8mm"};

static struct kern_ops levels[KERN_LEVELS_END]; /* filled once, then read-only */
static pthread_once_t filled = PTHREAD_ONCE_INIT;

static void fill_levels(void)
{
    for (int l = 0; l < KERN_LEVELS_END; l++) {
        levels[l].level = (enum kern_level)l;
        levels[l].name = names[l];
    }
    kern_fill_ref(&levels[KERN_REF]);
    kern_strips_ref(&levels[KERN_REF]);
#if defined(__x86_64__)
    /* Even filling a table is compiled with its level's instructions. */
    if (kern_level_possible(KERN_AVX2)) {
        kern_fill_avx2(&levels[KERN_AVX2]);
        kern_strips_avx2(&levels[KERN_AVX2]);
    }
    if (kern_level_possible(KERN_AVXVNNI)) {
        kern_fill_avx2(&levels[KERN_AVXVNNI]); /* vectors have no other use for the byte dot product */
        kern_strips_avxvnni(&levels[KERN_AVXVNNI]);
    }
    if (kern_level_possible(KERN_AVX512)) {
        kern_fill_avx512(&levels[KERN_AVX512]);
        kern_strips_avx512(&levels[KERN_AVX512]);
    }
#elif defined(__aarch64__)
    if (kern_level_possible(KERN_NEON)) {
        kern_fill_neon(&levels[KERN_NEON]);
        kern_strips_neon(&levels[KERN_NEON]);
    }
    if (kern_level_possible(KERN_I8MM)) {
        kern_fill_neon(&levels[KERN_I8MM]); /* it has no other use for the matrix product */
        kern_strips_i8mm(&levels[KERN_I8MM]);
    }
#endif
}

static void list_possible(char *text, size_t cap)
{
    size_t n = 0;
    for (int l = 0; l < KERN_LEVELS_END; l++)
        if (kern_level_possible((enum kern_level)l) && n < cap)
            n += (size_t)snprintf(text + n, cap - n, "%s%s", n ? ", " : "", names[l]);
}

int kern_choose(const struct kern_ops **ops, const char *name, struct err *err)
{
    char possible[64];
    *ops = NULL;
    pthread_once(&filled, fill_levels);
    bool best = !name || !*name || strcmp(name, "auto") == 0;
    for (int l = KERN_LEVELS_END - 1; l >= 0; l--) {
        if (!best && strcmp(name, names[l]) != 0)
            continue;
        if (kern_level_possible((enum kern_level)l)) {
            *ops = &levels[l];
            return OK;
        }
        if (!best)
            break;
    }
    list_possible(possible, sizeof possible);
    return fail(err, ERR_UNSUPPORTED,
                "instruction-set level '%s' is not possible on this machine; possible are: %s",
                name ? name : "auto", possible);
}

size_t kern_act_bytes(const struct kern_ops *ops, enum quant_act act, int n)
{
    if (ops->level == KERN_REF || act == QUANT_ACT_F32)
        return quant_act_bytes(act, (size_t)n);
    if (act == QUANT_ACT_Q8_32)
        return (size_t)n / 32 * sizeof(struct kern_act32);
    return (size_t)n / 256 * sizeof(struct kern_act256);
}
