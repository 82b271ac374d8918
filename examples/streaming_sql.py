"""A streaming job that runs until it is cancelled: generated clicks, counted per user."""

from pyflink.table import EnvironmentSettings, TableEnvironment

tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.execute_sql(
    "CREATE TABLE clicks (user_id BIGINT) WITH ("
    " 'connector' = 'datagen', 'rows-per-second' = '5',"
    " 'fields.user_id.min' = '1', 'fields.user_id.max' = '9')"
)
tables.execute_sql("CREATE TABLE sink (user_id BIGINT, clicks BIGINT) WITH ('connector' = 'blackhole')")
tables.execute_sql("INSERT INTO sink SELECT user_id, COUNT(*) FROM clicks GROUP BY user_id")
