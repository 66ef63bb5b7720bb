from modelport.server.memory_limit import budget_for_models, group_limits, memory_limit, resident_bytes


def test_every_group_above_may_limit_the_memory() -> None:
    assert [str(path) for path in group_limits("0::/a/b\n")] == ["a/b/memory.max", "a/memory.max", "memory.max"]
    assert [str(path) for path in group_limits("9:memory:/d\n3:cpu,cpuacct:/x\n")] == [
        "memory/d/memory.limit_in_bytes",
        "memory/memory.limit_in_bytes",
    ]
    assert group_limits("") == ()


def test_this_process_has_some_memory_and_may_use_more() -> None:
    assert 0 < resident_bytes() < memory_limit()
    assert budget_for_models(100) == 75
