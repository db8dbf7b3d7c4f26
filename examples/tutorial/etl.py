"""The tutorial's flow: call an API that fails half of the time, augment, write to a database.

    python etl.py [URL [DATABASE]]
"""

import json
import sqlite3
import sys
import urllib.error
import urllib.request
from datetime import datetime, timezone

from prefect import flow, task


@task(name="Call API", retries=3, retry_delay_seconds=1)
def call_api(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        # The client stores a task's exception, and this one holds a connection, which cannot be stored.
        raise RuntimeError(f"the API answered {error.code}") from None


@task(name="Augment data")
def augment_data(record):
    return {**record, "seen_at": datetime.now(timezone.utc).isoformat()}


@task(name="Write to database")
def write_to_database(record, database):
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("CREATE TABLE IF NOT EXISTS record (fact TEXT, seen_at TEXT)")
        connection.execute("INSERT INTO record VALUES (?, ?)", (record["fact"], record["seen_at"]))
    connection.close()


@flow(name="My ETL flow")
def my_etl_flow(url="http://127.0.0.1:4299/", database="etl.db"):
    record = call_api(url)
    augmented = augment_data(record)
    write_to_database(augmented, database)


if __name__ == "__main__":
    my_etl_flow(*sys.argv[1:])
