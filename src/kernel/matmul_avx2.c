#include "kernel/kern_int.h"
void kern_strips_avx2(struct kern_ops *ops)
{
    ops->packed = true;
}
