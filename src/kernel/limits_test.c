#include "kernel/limits.h"

#include "base/test.h"

TEST(limits_are_positive_and_sane)
{
    struct team *team;
    const struct kern_ops *ops;
    struct limits l = {0};
    REQUIRE(team_create(&team, 0, NULL) == OK);
    REQUIRE(kern_choose(&ops, NULL, NULL) == OK);
    CHECK(limits_measure(&l, team, ops, NULL) == OK);
    CHECK(l.read_bytes_per_s > 1e8 && l.read_bytes_per_s < 1e13);
    CHECK(l.int8_macs_per_s > 1e7 && l.int8_macs_per_s < 1e15);
    team_free(team);
}
