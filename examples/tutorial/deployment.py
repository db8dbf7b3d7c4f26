"""What to run and how: prefect-rs deployment create examples/tutorial/deployment.py"""

from datetime import timedelta

from prefect.deployments import DeploymentSpec
from prefect.flow_runners import SubprocessFlowRunner
from prefect.orion.schemas.schedules import IntervalSchedule

DeploymentSpec(
    name="etl-deployment",
    flow_location="./etl.py",
    flow_name="My ETL flow",
    parameters={"url": "http://127.0.0.1:4299/", "database": "/tmp/etl.db"},
    tags=["ETL"],
    flow_runner=SubprocessFlowRunner(),
    schedule=IntervalSchedule(interval=timedelta(hours=1)),
)
