"""A script that ends before it has submitted anything."""

from pyflink.table import EnvironmentSettings, TableEnvironment

orders = {"2025-11-01": 17}
print("reading the orders of 2025-11-02")
count = orders["2025-11-02"]

tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
tables.execute_sql("CREATE TABLE counts (day_orders BIGINT) WITH ('connector' = 'print')")
tables.from_elements([(count,)], ["day_orders"]).execute_insert("counts").wait()
