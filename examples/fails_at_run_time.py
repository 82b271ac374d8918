"""A job that is submitted well and then fails in Flink: a user-defined function meets a value it rejects."""

from pyflink.common import Types
from pyflink.datastream import StreamExecutionEnvironment


def check(amount: int) -> int:
    """Passes amounts on, and rejects negative ones."""
    if amount < 0:
        raise ValueError(f"amount {amount} is negative")
    return amount


env = StreamExecutionEnvironment.get_execution_environment()
env.from_collection([19, 7, -3], type_info=Types.INT()).map(check, output_type=Types.INT()).print()
env.execute("check amounts")
