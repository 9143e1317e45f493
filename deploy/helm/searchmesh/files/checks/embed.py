"""One text has one unit vector, and the second time it comes from the cache."""

import math
import sys
import uuid

from searchmesh.client import Client

text = f"searchmesh helm test {uuid.uuid4()}"
with Client() as client:
    first = client.embed([text])
    second = client.embed([text])
vector = [float(value) for value in first.vectors[0]]
norm = math.sqrt(sum(value * value for value in vector))
print(f"{first.model}: {len(vector)} dimensions, norm {norm:.4f}, second from the cache: {second.inputs[0].cached}")
if abs(norm - 1) > 0.01:
    sys.exit("the vector does not have unit length")
if "--cached" in sys.argv[1:] and not second.inputs[0].cached:
    sys.exit("the second request was not answered from the cache: is the cache's Redis reachable?")
