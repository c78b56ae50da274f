"""Verifies the chain of an audit log of Consilium with nothing but Python: python3 verify_audit.py log.jsonl

Finds edited, removed, repeated and reordered lines. Signatures, and lines cut off from the end, need
`consilium-client audit verify --receipts` (docs/audit.md).
"""

import hashlib
import json
import sys

HASH = b',"hash":"'
previous, count = "0" * 64, 0
with open(sys.argv[1], "rb") as log:
    for number, line in enumerate(log, start=1):
        body, _, end = line.rpartition(HASH)
        digest = hashlib.sha256(body).hexdigest()
        if end != digest.encode() + b'"}\n':
            sys.exit(f"line {number}: edited or cut off")
        entry = json.loads(line)
        if entry["seq"] != count or entry["previous"] != previous:
            sys.exit(f"line {number}: lines before it were removed, repeated or reordered")
        if count == 0 and entry["event"] != "log-begun":
            sys.exit("the beginning is missing")
        previous, count = digest, count + 1
if count == 0:
    sys.exit("there are no lines")
print(f"{count} lines, last hash {previous}")
