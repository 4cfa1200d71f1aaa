"""What most scripts do: list a prefix, download object by object. Arguments: endpoint, bucket, folder, prefixes."""

import sys
from pathlib import Path

import boto3
from botocore import UNSIGNED
from botocore.config import Config

endpoint, bucket, folder, *prefixes = sys.argv[1:]
anonymous = Config(signature_version=UNSIGNED, retries={"mode": "standard"})
client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=anonymous)
for prefix in prefixes:
    target = Path(folder) / prefix
    target.mkdir(parents=True)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        for found in page["Contents"]:
            client.download_file(bucket, found["Key"], str(target / found["Key"].rpartition("/")[2]))
