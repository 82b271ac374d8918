"""Counts the words of a poem: a job that ends by itself. The counts go to the TaskManager's output.

Run it with: flinkjobs submit examples/word_count.py --wait -- --least 2
"""

import argparse

from pyflink.table import EnvironmentSettings, TableEnvironment
from pyflink.table.expressions import col

POEM = """
The woods are lovely, dark and deep,
But I have promises to keep,
And miles to go before I sleep,
And miles to go before I sleep.
"""

parser = argparse.ArgumentParser()
parser.add_argument("--least", type=int, default=1, help="leave out words that occur less often")
options = parser.parse_args()

words = [(word.strip(".,").lower(),) for word in POEM.split()]
tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
tables.execute_sql("CREATE TABLE counts (word STRING, n BIGINT) WITH ('connector' = 'print')")
(
    tables.from_elements(words, ["word"])
    .group_by(col("word"))
    .select(col("word"), col("word").count.alias("n"))
    .where(col("n") >= options.least)
    .execute_insert("counts")
)
