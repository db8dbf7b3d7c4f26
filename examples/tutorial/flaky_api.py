"""An API that fails half of the time: python flaky_api.py [PORT [SEED]]

Chance comes from a seed, so that the tutorial is told the same way each time; it begins with a
failure, so that a retry is always seen. Port 0 takes any free one; the port is printed.
"""

import json
import random
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FlakyApi(BaseHTTPRequestHandler):
    chance = random.Random(3)
    calls = 0

    def do_GET(self):
        FlakyApi.calls += 1
        fails = FlakyApi.chance.random() < 0.5
        body = json.dumps({"error": "try again"} if fails else {"fact": f"fact {FlakyApi.calls}"}).encode()
        self.send_response(500 if fails else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    if len(sys.argv) > 2:
        FlakyApi.chance = random.Random(int(sys.argv[2]))
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 4299), FlakyApi)
    print(server.server_port, flush=True)
    server.serve_forever()
