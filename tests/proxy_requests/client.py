# SPDX-License-Identifier: Apache-2.0
"""A client that sends bytes as they are given, in one piece or one by one, and keeps all that comes back."""
import socket
import threading
import time

from strict_http import parse_answer

PATIENCE = 4.0  # seconds, for what has to come
SHORT = 700  # bytes: of up to so many each is sent alone; of more, those at both ends, lest the proxy's time run out


def pieces(data):
    """Single bytes, and of what is long larger pieces in the middle, whose ends fall anywhere."""
    edge = SHORT // 2 if len(data) > SHORT else len(data)
    yield from (data[at:at + 1] for at in range(edge))
    yield from (data[at:min(at + 997, len(data) - edge)] for at in range(edge, len(data) - edge, 997))
    yield from (data[at:at + 1] for at in range(max(edge, len(data) - edge), len(data)))


class Client:
    def __init__(self, port, source):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE, source_address=(source, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._changed = threading.Condition()
        self.received = bytearray()
        self.ended = False
        self.reset = False
        self._reader = threading.Thread(target=self._read, daemon=True)

    def listen(self):
        self._reader.start()

    def _read(self):
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                self.reset, data = True, b""
            with self._changed:
                self.received += data
                self.ended = self.ended or not data
                self._changed.notify_all()
            if not data:
                return

    def send(self, data, bytewise):
        """What the proxy has closed already takes nothing more, which is no error."""
        try:
            if not bytewise:
                self._socket.sendall(data)
                return
            for piece in pieces(data):
                self._socket.sendall(piece)
                time.sleep(0.00005)
        except OSError:
            pass

    def end(self):
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads
        except OSError:
            pass
        if self._reader.is_alive():
            self._reader.join(PATIENCE)
        self._socket.close()

    def answers(self, to_head, count):
        """Up to `count` answers of what has come, and the bytes behind them; the last may be incomplete."""
        found, at = [], 0
        while len(found) < count and at < len(self.received):
            is_to_head = len(found) < len(to_head) and to_head[len(found)]
            parsed = parse_answer(self.received[at:], is_to_head, self.ended)
            if parsed is None:
                break
            message, length = parsed
            found.append(message)
            at = len(self.received) if length is None else at + length
            if length is None:
                break
        return found, bytes(self.received[at:])

    def wait_for_answers(self, to_head, count, seconds=PATIENCE):
        """The same, once `count` are there and whole, or the connection is at its end, or the time."""
        deadline = time.monotonic() + seconds
        with self._changed:
            seen = -1
            while True:
                if len(self.received) != seen or self.ended:
                    seen = len(self.received)
                    found, rest = self.answers(to_head, count)
                    if self.ended or (len(found) == count and (not found or found[-1].complete)):
                        return found, rest
                left = deadline - time.monotonic()
                if left <= 0:
                    return found, rest
                self._changed.wait(left)

    def wait_for_end(self, seconds):
        with self._changed:
            return self._changed.wait_for(lambda: self.ended, seconds)

    def wait_for_bytes(self, count):
        with self._changed:
            return self._changed.wait_for(lambda: len(self.received) >= count or self.ended, PATIENCE)
