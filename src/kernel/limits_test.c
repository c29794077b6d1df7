#include "kernel/limits.h"

#include "base/test.h"

TEST(limits_are_positive_and_sane)
{
    struct team *team;
    const struct kern_ops *ops;
    struct limits *l;
    REQUIRE(team_create(&team, 0, NULL) == OK);
    REQUIRE(kern_choose(&ops, NULL, NULL) == OK);
    REQUIRE(limits_create(&l, team, ops, NULL, 0, NULL) == OK);
    double read_rate = limits_read(l), macs = limits_multiply(l);
    CHECK(read_rate > 1e8 && read_rate < 1e13);
    CHECK(macs > 1e7 && macs < 1e15);
    limits_free(l);
    team_free(team);
}
