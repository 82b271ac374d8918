import pytest

from flinkjobs.domain.permissions import Function, deployed_function, permissions_of


@pytest.mark.parametrize(
    ("user", "function"),
    [
        ("system:serviceaccount:lemo-dev:flinkjobs-submit", Function.SUBMIT),
        ("system:serviceaccount:lemo-dev:flinkjobs-jobs", Function.JOBS),
        ("flinkjobs-sync@my-project.iam.gserviceaccount.com", Function.SYNC),
        ("system:serviceaccount:lemo-dev:flinkjobs", None),
        ("system:serviceaccount:lemo-dev:flink-jobs", None),
        ("system:serviceaccount:lemo-dev:flinkjobs-sync-old", None),
        ("flinkjobs-invoker@my-project.iam.gserviceaccount.com", None),
        ("112233445566778899001", None),
        ("jobs", None),
    ],
)
def test_only_a_deployed_identity_is_taken_for_a_function(user: str, function: Function | None) -> None:
    assert deployed_function(user) is function


def test_without_a_function_all_permissions_are_meant() -> None:
    every = {permission for function in Function for permission in permissions_of(function)}
    assert set(permissions_of(None)) == every
    assert "create jobs" not in map(str, permissions_of(Function.SYNC))
