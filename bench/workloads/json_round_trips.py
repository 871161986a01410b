"""A document to JSON and back: objects born in C code, in batches."""

import json


def run():
    document = {
        "orders": [
            {
                "id": i,
                "name": f"customer {i}",
                "total": i * 1.25,
                "tags": ["new", "paid", f"region-{i % 7}"],
                "address": {"street": f"{i} Long Street", "zip": 10_000 + i},
            }
            for i in range(200)
        ]
    }
    for _ in range(350):
        document = json.loads(json.dumps(document))
    return document
