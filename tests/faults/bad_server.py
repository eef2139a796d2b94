"""A server in a thread of this process that fails in every way a server can.

    with serving(content) as address:
        urlopen(f"{address}/cut/100")  # 100 bytes of the content, then the end

The path names what goes wrong and, where it matters, at which byte.
"""

import contextlib
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<!doctype html><title>403 Forbidden</title>"


class Handler(BaseHTTPRequestHandler):
    """One request; `server.content` is what should be sent."""

    def do_GET(self):
        self.server.asked.append(self.path)
        _, what, *place = self.path.split("/")[:3]
        place = int(place[0]) if place and place[0].isdecimal() else 0
        with contextlib.suppress(OSError):
            getattr(self, f"do_{what}")(self.server.content, place)

    def begin(self, status: int = 200, **headers) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def do_whole(self, content, place):
        self.begin(Content_Length=len(content))
        self.wfile.write(content)

    def do_slow(self, content, place):
        """All of it, in a third of a second: time to be killed in."""
        self.begin(Content_Length=len(content))
        for k in range(30):
            self.wfile.write(
                content[k * len(content) // 30 : (k + 1) * len(content) // 30]
            )
            time.sleep(0.01)

    def do_cut(self, content, place):
        self.begin(Content_Length=len(content))
        self.wfile.write(content[:place])

    def do_silently(self, content, place):
        """Cut where the client was not told how much comes."""
        self.begin()
        self.wfile.write(content[:place])

    def do_reset(self, content, place):
        self.begin(Content_Length=len(content))
        self.wfile.write(content[:place])
        self.wfile.flush()
        now = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self.connection.close()

    def do_flip(self, content, place):
        other = bytes([content[place] ^ 1 << place % 8])
        self.do_whole(content[:place] + other + content[place + 1 :], 0)

    def do_twice(self, content, place):
        """Cut off at the first two tries, whole at the third."""
        mine = [path for path in self.server.asked if path == self.path]
        (self.do_whole if len(mine) > 2 else self.do_cut)(content, place)

    def do_short(self, content, place):
        self.begin(Content_Length=len(content) - 1)
        self.wfile.write(content)

    def do_long(self, content, place):
        self.begin(Content_Length=len(content) + 9)
        self.wfile.write(content)

    def do_oddly(self, content, place):
        self.begin(Content_Length="many")
        self.wfile.write(content[: len(content) // 2])

    def do_chunks(self, content, place):
        """Chunked encoding that breaks off within a chunk."""
        self.protocol_version = "HTTP/1.1"
        self.begin(Transfer_Encoding="chunked")
        self.wfile.write(b"%x\r\n" % len(content) + content[: len(content) // 2])

    def do_endless(self, content, place):
        self.begin()
        while True:
            self.wfile.write(bytes(1 << 20))

    def do_drip(self, content, place):
        self.begin(Content_Length=len(content))
        for k in range(len(content)):
            self.wfile.write(content[k : k + 1])
            time.sleep(0.1)

    def do_stall(self, content, place):
        self.begin(Content_Length=len(content))
        self.wfile.write(content[:place])
        self.server.over.wait()

    def do_silent(self, content, place):
        self.server.over.wait()

    def do_page(self, content, place):
        self.begin(Content_Type="text/html")
        self.wfile.write(PAGE)

    def do_status(self, content, place):
        self.begin(place)
        self.wfile.write(PAGE)

    def do_circle(self, content, place):
        self.begin(302, Location=self.path)

    def do_local(self, content, place):
        self.begin(302, Location="file:///etc/passwd")

    def do_nonsense(self, content, place):
        self.wfile.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")

    def do_empty(self, content, place):
        self.begin(Content_Length=0)

    def do_hang_up(self, content, place):
        self.close_connection = True

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(content: bytes):
    """The address of a server on this machine that has `content`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.content, server.asked, server.over = content, [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
