"""An API that fails every other time: python flaky_api.py [PORT]

Every other time rather than at random, so that the tutorial always shows a retry.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class FlakyApi(BaseHTTPRequestHandler):
    calls = 0

    def do_GET(self):
        FlakyApi.calls += 1
        fails = FlakyApi.calls % 2 == 1
        body = json.dumps({"error": "try again"} if fails else {"fact": f"fact {FlakyApi.calls}"}).encode()
        self.send_response(500 if fails else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 4299), FlakyApi)
    print(server.server_port, flush=True)
    server.serve_forever()
