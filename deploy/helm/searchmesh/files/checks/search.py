"""A collection is made, filled, searched through every stage, and removed."""

import sys
import uuid

from searchmesh.client import Client, Document

name = f"helm-test-{uuid.uuid4().hex[:12]}"
with Client() as client:
    client.create_collection(name)
    try:
        documents = [Document("1", text="gzip makes files smaller"), Document("2", text="the cat sleeps in the sun")]
        for progress in client.index(name, documents):
            if progress.errors:
                sys.exit(f"indexing failed: {progress.errors}")
        found = client.search(name, "how do I compress a file?", rerank=True)
    finally:
        client.delete_collection(name)
print(f"best: {found.hits[0].document.id}, degraded: {found.degraded}, timings: {found.timings}")
if found.hits[0].document.id != "1":
    sys.exit("the wrong document came first")
